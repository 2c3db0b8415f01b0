package config_test

import (
	"crypto/tls"
	"slices"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

func TestCipherSuite(t *testing.T) {
	for name, want := range map[string][]uint16{
		"ECDHE-ECDSA-AES256-GCM-SHA384":                             {tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256":                     {tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		"[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]": {tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256},
		"TLS_AES_128_GCM_SHA256":                                    nil,
		"":                                                          nil,
		"[ECDHE-RSA-AES128-GCM-SHA256|RC4-MD5]":                     nil,
	} {
		got, err := config.CipherSuite(name)
		if !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %v, %v; want %v", name, got, err, want)
		}
	}
}

func TestNamesAreEnvoys(t *testing.T) {
	for id, want := range map[uint16]string{
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: "ECDHE-RSA-AES128-GCM-SHA256", tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
		tls.TLS_AES_256_GCM_SHA384: "TLS_AES_256_GCM_SHA384", 0: "",
	} {
		if got := config.SuiteName(id); got != want {
			t.Errorf("suite %#x: %q, want %q", id, got, want)
		}
	}
	if a, b := config.VersionName(tls.VersionTLS13), config.VersionName(0); a != "TLSv1.3" || b != "" {
		t.Errorf("versions %q, %q", a, b)
	}
}
