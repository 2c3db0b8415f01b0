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
