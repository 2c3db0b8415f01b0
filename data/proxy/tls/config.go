package tls

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Secrets finds what references of a config name. A source may be empty as yet: handshakes fail until it is filled.
type Secrets interface {
	// Certificates is the source of a tls_certificate, nil if the reference can never be resolved.
	Certificates(config.SecretRef) *Source[Certificates]
	// Trust is the source of a validation context's anchors.
	Trust(config.SecretRef) *Source[Trust]
}

// material is what a context needs beside crypto/tls's own settings.
type material struct {
	params       *config.TLSParams
	certificates []*Source[Certificates]
	trust        *Source[Trust]
}

// suites are Envoy's default up to TLS 1.2, on both sides: forward secrecy and authenticated encryption. crypto/tls orders them by itself.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
}

// settings is what crypto/tls honours of c, and the sources that it names. Errors begin with the field's name in Envoy's API.
func settings(c *config.TLSParams, from Secrets) (*tls.Config, material, error) {
	m := material{params: c}
	t := &tls.Config{
		DynamicRecordSizingDisabled: true, NextProtos: c.ALPN, MinVersion: c.MinVersion, MaxVersion: c.MaxVersion, CipherSuites: c.CipherSuites,
	}
	if len(t.CipherSuites) == 0 {
		t.CipherSuites = suites
	}
	for _, c := range c.Curves {
		t.CurvePreferences = append(t.CurvePreferences, tls.CurveID(c))
	}
	if t.MinVersion == 0 {
		t.MinVersion = tls.VersionTLS12 // Envoy's default on both sides
	}
	if t.MaxVersion != 0 && t.MaxVersion < t.MinVersion {
		return nil, m, fmt.Errorf("common_tls_context.tls_params.tls_maximum_protocol_version: %s is below the minimum, %s",
			tls.VersionName(t.MaxVersion), tls.VersionName(t.MinVersion))
	}
	for i, ref := range c.Certificates {
		s := from.Certificates(ref)
		if s == nil {
			return nil, m, fmt.Errorf("common_tls_context.tls_certificates[%d]: no certificate %q", i, ref.Name)
		}
		m.certificates = append(m.certificates, s)
	}
	if c.Roots != nil {
		if m.trust = from.Trust(*c.Roots); m.trust == nil {
			return nil, m, fmt.Errorf("common_tls_context.validation_context: no trust anchors %q", c.Roots.Name)
		}
	}
	if len(c.SANs) > 0 && (c.Roots == nil || c.TrustUnverified) {
		return nil, m, errors.New("common_tls_context.validation_context.match_typed_subject_alt_names: names are proved only by a verified chain to trusted_ca")
	}
	return t, m, nil
}

// ready says whether every source is filled.
func (m *material) ready() bool {
	for _, s := range m.certificates {
		if s.Load() == nil {
			return false
		}
	}
	return m.trust == nil || m.trust.Load() != nil
}

func parsePEM(b []byte) (certs []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse certificate: %w", err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, errors.New("no certificate in the PEM data")
	}
	return certs, nil
}
