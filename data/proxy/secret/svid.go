// Package secret keeps the workload's identity: the key is made here and never leaves, the certificate comes from the CA and is renewed at half of its life.
//
// In: a CA (Istio's CreateCertificate) and a credential. Out: the current SVID, to read at any time and to be told of. With the CA away the last SVID stays until
// it expires; nothing replaces an expired one, so that peers refuse it. All methods are safe for concurrent use.
package secret

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// The names under which Istio's configuration asks for the workload's own identity over SDS.
const (
	Default = "default" // certificate and key
	RootCA  = "ROOTCA"  // what peers are verified with
)

// SVID is a certificate with its key, and the roots that came with it. It is immutable.
type SVID struct {
	ID        string // SPIFFE ID
	TLS       tls.Certificate
	Leaf      *x509.Certificate
	ChainPEM  []byte // leaf first, without the root
	KeyPEM    []byte // PKCS #8; for a stock Envoy over a local socket only
	RootsPEM  []byte
	Roots     *x509.CertPool
	roots     []*x509.Certificate
	NotBefore time.Time
	NotAfter  time.Time
}

// CA signs a certificate request (PEM) for the caller's identity and answers the chain, leaf first and root last.
type CA interface {
	CreateCertificate(ctx context.Context, csrPEM []byte, ttl time.Duration) (chainPEM []string, err error)
}

// Request makes a key and asks the CA to certify it. The answer must be for that key and that identity and must lead to its own root.
func Request(ctx context.Context, ca CA, id string, ttl time.Duration, now time.Time) (*SVID, error) {
	uri, err := url.Parse(id)
	if err != nil {
		return nil, fmt.Errorf("request certificate for %q: %w", id, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("request certificate for %s: %w", id, err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{uri}}, key)
	if err != nil {
		return nil, fmt.Errorf("request certificate for %s: %w", id, err)
	}
	chain, err := ca.CreateCertificate(ctx, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), ttl)
	if err != nil {
		return nil, fmt.Errorf("request certificate for %s: %w", id, err)
	}
	s, err := build(key, chain)
	if err != nil {
		return nil, fmt.Errorf("read certificate for %s: %w", id, err)
	}
	if s.ID != id {
		return nil, fmt.Errorf("read certificate for %s: the CA answered for %q", id, s.ID)
	}
	if !now.Before(s.NotAfter) {
		return nil, fmt.Errorf("read certificate for %s: it ended at %s", id, s.NotAfter.Format(time.RFC3339))
	}
	return s, s.verify(now)
}

// build splits a chain into leaf, intermediates and root.
func build(key *ecdsa.PrivateKey, chain []string) (*SVID, error) {
	var certs []*x509.Certificate
	rest := []byte(strings.Join(chain, "\n"))
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
	if len(certs) < 2 {
		return nil, fmt.Errorf("the chain has %d certificates, want a leaf and a root at least", len(certs))
	}
	leaf := certs[0]
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("the certificate is for another key")
	}
	if len(leaf.URIs) != 1 {
		return nil, fmt.Errorf("the certificate has %d URI names, want 1 (X509-SVID section 2)", len(leaf.URIs))
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	s := &SVID{
		ID: leaf.URIs[0].String(), Leaf: leaf, NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, Roots: x509.NewCertPool(),
		TLS: tls.Certificate{PrivateKey: key, Leaf: leaf}, KeyPEM: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
	for i, c := range certs {
		if root := i > 0 && bytes.Equal(c.RawIssuer, c.RawSubject); root || i == len(certs)-1 {
			s.Roots.AddCert(c)
			s.roots = append(s.roots, c)
			s.RootsPEM = append(s.RootsPEM, encode(c)...)
			continue
		}
		s.TLS.Certificate = append(s.TLS.Certificate, c.Raw)
		s.ChainPEM = append(s.ChainPEM, encode(c)...)
	}
	return s, nil
}

// RootCertificates are the members of Roots.
func (s *SVID) RootCertificates() []*x509.Certificate { return s.roots }

func encode(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// verify checks that the chain leads to its root, so that a broken answer never replaces a good certificate.
func (s *SVID) verify(now time.Time) error {
	between := x509.NewCertPool()
	for _, der := range s.TLS.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		between.AddCert(c)
	}
	_, err := s.Leaf.Verify(x509.VerifyOptions{Roots: s.Roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return fmt.Errorf("verify certificate for %s: %w", s.ID, err)
	}
	return nil
}
