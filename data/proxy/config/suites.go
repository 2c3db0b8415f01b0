package config

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// openssl maps OpenSSL's names, which Envoy and Istio use, to the suites of crypto/tls.
var openssl = map[string]uint16{
	"ECDHE-ECDSA-AES128-GCM-SHA256": tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-RSA-AES128-GCM-SHA256":   tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-ECDSA-AES256-GCM-SHA384": tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-RSA-AES256-GCM-SHA384":   tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-ECDSA-CHACHA20-POLY1305": tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	"ECDHE-RSA-CHACHA20-POLY1305":   tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	"ECDHE-ECDSA-AES128-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
	"ECDHE-RSA-AES128-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
	"ECDHE-ECDSA-AES256-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	"ECDHE-RSA-AES256-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
	"AES128-GCM-SHA256":             tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
	"AES256-GCM-SHA384":             tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
	"AES128-SHA":                    tls.TLS_RSA_WITH_AES_128_CBC_SHA,
	"AES256-SHA":                    tls.TLS_RSA_WITH_AES_256_CBC_SHA,
}

// CipherSuite reads an element of tls_params.cipher_suites: OpenSSL's or the standard's name of a suite up to TLS 1.2, or "[A|B]", BoringSSL's
// group of equal preference. Suites of TLS 1.3 cannot be chosen.
func CipherSuite(name string) (ids []uint16, err error) {
	for one := range strings.SplitSeq(strings.TrimSuffix(strings.TrimPrefix(name, "["), "]"), "|") {
		id, ok := openssl[one]
		for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
			if s.Name == one && slices.Contains(s.SupportedVersions, tls.VersionTLS12) {
				id, ok = s.ID, true
			}
		}
		if !ok {
			return nil, fmt.Errorf("cipher suite %q is not supported (suites of TLS 1.3 cannot be chosen)", one)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// SuiteName is the name of a cipher suite as Envoy writes it: OpenSSL's up to TLS 1.2, the standard's for TLS 1.3. "" for none.
func SuiteName(id uint16) string {
	if id == 0 {
		return ""
	}
	for name, of := range openssl {
		if of == id {
			return name
		}
	}
	return tls.CipherSuiteName(id)
}

// VersionName is the name of a TLS version as Envoy writes it, "" for none.
func VersionName(v uint16) string {
	return map[uint16]string{tls.VersionTLS10: "TLSv1", tls.VersionTLS11: "TLSv1.1", tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3"}[v]
}
