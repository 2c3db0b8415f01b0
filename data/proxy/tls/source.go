package tls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Source holds what is current of something that is rotated. The zero Source holds nothing yet. Safe for concurrent use.
type Source[T any] struct{ current atomic.Pointer[T] }

// NewSource is a Source that holds v.
func NewSource[T any](v *T) *Source[T] {
	s := &Source[T]{}
	s.current.Store(v)
	return s
}

// Load is the current value, nil if there is none.
func (s *Source[T]) Load() *T {
	if s == nil {
		return nil
	}
	return s.current.Load()
}

// Store publishes the next value; connections that are open keep the former.
func (s *Source[T]) Store(v *T) { s.current.Store(v) }

// Certificates are the chains that a side may show, in order of preference. Immutable.
type Certificates struct {
	Chains []tls.Certificate
	// URIs are the URI SANs of the first leaf.
	URIs []string
}

// NewCertificates completes chains with their parsed leaves.
func NewCertificates(chains ...tls.Certificate) (*Certificates, error) {
	c := &Certificates{Chains: chains}
	for i := range chains {
		if len(chains[i].Certificate) == 0 || chains[i].PrivateKey == nil {
			return nil, errors.New("certificate chain without certificate or private key")
		}
		if chains[i].Leaf == nil {
			leaf, err := x509.ParseCertificate(chains[i].Certificate[0])
			if err != nil {
				return nil, fmt.Errorf("parse certificate: %w", err)
			}
			chains[i].Leaf = leaf
		}
		if i == 0 {
			for _, u := range chains[0].Leaf.URIs {
				c.URIs = append(c.URIs, u.String())
			}
		}
	}
	return c, nil
}

// ParseCertificates reads a PEM chain and its PEM private key.
func ParseCertificates(chain, key []byte) (*Certificates, error) {
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("read certificate and key: %w", err)
	}
	return NewCertificates(pair)
}

// Trust is a set of trust anchors. Immutable.
type Trust struct {
	Pool *x509.CertPool
	// Anchors is the number of certificates in the pool.
	Anchors int

	revoked *revocations // nil: no certificate is revoked
}

// revocation refuses a peer none of whose verified chains is free of revoked certificates.
func (t *Trust) revocation(chains [][]*x509.Certificate, now time.Time) (err error) {
	if t.revoked == nil {
		return nil
	}
	for _, chain := range chains {
		if err = t.revoked.check(chain, now); err == nil {
			return nil
		}
	}
	return err
}

// TrustOf reads what a reference holds itself: PEM certificates, and lists of revoked certificates where there are any.
func TrustOf(ref *config.SecretRef) (*Trust, error) {
	t, err := ParseTrust(ref.Roots)
	if err == nil && len(ref.Revoked) > 0 {
		t.revoked = newRevocations(ref.Revoked, ref.LeafCRL)
	}
	return t, err
}

// ParseTrust reads PEM certificates; no certificate in it is an error.
func ParseTrust(pem []byte) (*Trust, error) {
	certs, err := parsePEM(pem)
	if err != nil {
		return nil, err
	}
	t := &Trust{Pool: x509.NewCertPool(), Anchors: len(certs)}
	for _, c := range certs {
		t.Pool.AddCert(c)
	}
	return t, nil
}
