// Package ca is the mesh's certificate authority: certificate requests with an authenticated identity in, short-lived SVIDs out.
//
// The identity comes from the client's credential; names in a request are ignored. An Authority is immutable and safe for concurrent use.
package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"

	"github.com/heddle-mesh/heddle/identity"
)

// Lifetimes. A leaf is valid a little into the past, because clocks differ.
const (
	DefaultTTL = 24 * time.Hour
	MaxTTL     = 90 * 24 * time.Hour
	rootTTL    = 10 * 365 * 24 * time.Hour
	backdate   = 2 * time.Minute
)

// Authority signs for one trust domain.
type Authority struct {
	domain identity.TrustDomain
	signer crypto.Signer
	issuer *x509.Certificate
	chain  []byte // PEM: what follows the leaf (the issuer when it is not the root itself, and its intermediates)
	roots  []byte // PEM: what peers verify with
	now    func() time.Time
}

// TrustDomain is the domain of all identities that it signs.
func (a *Authority) TrustDomain() identity.TrustDomain { return a.domain }

// Roots are the certificates, in PEM, that verify what the authority signs.
func (a *Authority) Roots() []byte { return a.roots }

// Expires is when the issuer's certificate ends.
func (a *Authority) Expires() time.Time { return a.issuer.NotAfter }

// Sign issues an SVID for the public key of a request (DER). The names in the request are ignored: the identity alone is certified.
// The answer is the chain in PEM, leaf first. A ttl of 0 means DefaultTTL; it is cut to MaxTTL and to the issuer's own end.
func (a *Authority) Sign(request []byte, id identity.ID, ttl time.Duration) ([]byte, time.Time, error) {
	if id.IsZero() || id.TrustDomain() != a.domain {
		return nil, time.Time{}, fmt.Errorf("sign for %q: the authority signs only for trust domain %s", id, a.domain)
	}
	csr, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("sign for %s: read the certificate request: %w", id, err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, time.Time{}, fmt.Errorf("sign for %s: the request is not signed by its own key: %w", id, err)
	}
	if err := acceptable(csr.PublicKey); err != nil {
		return nil, time.Time{}, fmt.Errorf("sign for %s: %w", id, err)
	}
	uri, err := url.Parse(id.String())
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("sign for %s: %w", id, err)
	}
	template := &x509.Certificate{
		URIs:        []*url.URL{uri},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	return a.issue(template, csr.PublicKey, ttl)
}

// Server makes a key and a certificate for the control plane's own listeners.
func (a *Authority) Server(id identity.ID, names []string, ttl time.Duration) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the server's key: %w", err)
	}
	template := &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if uri, err := url.Parse(id.String()); err == nil && !id.IsZero() {
		template.URIs = []*url.URL{uri}
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	chain, _, err := a.issue(template, key.Public(), ttl)
	if err != nil {
		return tls.Certificate{}, err
	}
	c := tls.Certificate{PrivateKey: key}
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
		c.Certificate = append(c.Certificate, block.Bytes)
	}
	return c, nil
}

func (a *Authority) issue(template *x509.Certificate, key crypto.PublicKey, ttl time.Duration) ([]byte, time.Time, error) {
	now := a.now()
	if !now.Before(a.issuer.NotAfter) {
		return nil, time.Time{}, fmt.Errorf("the certificate of the authority ended at %s; replace it in --ca-dir", a.issuer.NotAfter.Format(time.RFC3339))
	}
	if ttl <= 0 {
		ttl = DefaultTTL
	}
	template.NotBefore, template.NotAfter = now.Add(-backdate), now.Add(min(ttl, MaxTTL))
	if template.NotAfter.After(a.issuer.NotAfter) {
		template.NotAfter = a.issuer.NotAfter
	}
	template.BasicConstraintsValid = true
	serial, err := serialNumber()
	if err != nil {
		return nil, time.Time{}, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, a.issuer, key, a.signer)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("sign: %w", err)
	}
	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(leaf, a.chain...), template.NotAfter, nil
}

// acceptable refuses keys that are too weak to certify.
func acceptable(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() && k.Curve != elliptic.P521() {
			return errors.New("the key's curve must be P-256, P-384 or P-521")
		}
	case interface{ Size() int }: // RSA, in bytes
		if k.Size() < 256 {
			return errors.New("an RSA key must have at least 2048 bits")
		}
	}
	return nil
}

// serialNumber has 127 random bits (RFC 5280 section 4.1.2.2: positive, at most 20 octets).
func serialNumber() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

// newRoot makes a self-signed authority.
func newRoot(domain identity.TrustDomain, now time.Time) (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make the authority's key: %w", err)
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{domain.String()}},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(rootTTL),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign the authority's certificate: %w", err)
	}
	return key, der, nil
}
