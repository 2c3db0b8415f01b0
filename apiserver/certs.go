package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

const (
	caLifetime   = 10 * 365 * 24 * time.Hour
	leafLifetime = 365 * 24 * time.Hour
)

// pki is the set of keys and certificates below DIR/pki. All are files, because
// the API server watches them and serves a renewed certificate without restart.
type pki struct {
	dir     *dataDir
	ca      *x509.Certificate
	caKey   *ecdsa.PrivateKey
	clients []client
	names   []string // DNS names and addresses in the serving certificate
}

// client is a user who comes with a certificate: RBAC sees name and group.
type client struct{ file, user, group string }

var (
	adminClient   = client{"admin", "heddle:admin", "system:masters"}
	heddledClient = client{"heddled", heddledUser, heddledGroup}
)

// openPKI makes what is missing and renews what has less than a third of its
// life left. The CA and the service account key are never replaced.
func openPKI(dir *dataDir, names []string, now time.Time) (*pki, error) {
	if err := os.MkdirAll(dir.file("pki"), 0o700); err != nil {
		return nil, err
	}
	p := &pki{dir: dir, names: names, clients: []client{adminClient, heddledClient}}
	if err := p.openCA(now); err != nil {
		return nil, err
	}
	if _, err := readKey(p.path("service-accounts.key")); errors.Is(err, os.ErrNotExist) {
		if _, err := writeKey(p.path("service-accounts.key")); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	return p, p.renew(now)
}

func (p *pki) path(name string) string { return p.dir.file("pki", name) }

// renew issues the leaf certificates that are missing, old, or lack a name.
func (p *pki) renew(now time.Time) error {
	if !p.fresh("serving", now, p.names) {
		if err := p.issueServing(now); err != nil {
			return err
		}
	}
	for _, c := range p.clients {
		if p.fresh(c.file, now, nil) {
			continue
		}
		subject := pkix.Name{CommonName: c.user, Organization: []string{c.group}}
		tmpl := leaf(subject, x509.ExtKeyUsageClientAuth, now)
		if err := p.issue(c.file, tmpl); err != nil {
			return err
		}
	}
	return nil
}

func (p *pki) openCA(now time.Time) error {
	key, err := readKey(p.path("ca.key"))
	if errors.Is(err, os.ErrNotExist) {
		return p.makeCA(now)
	}
	if err != nil {
		return err
	}
	cert, err := readCert(p.path("ca.crt"))
	if err != nil {
		return err
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return fmt.Errorf("the files ca.crt and ca.key in %s do not belong together: restore them, or move that folder away to make new keys", p.path(""))
	}
	p.ca, p.caKey = cert, key
	return nil
}

func (p *pki) makeCA(now time.Time) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "heddle-apiserver-ca"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(caLifetime),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	// The key goes last: as long as it is absent the pair counts as not made.
	if err := writeFile(p.path("ca.crt"), encodeCert(der), 0o600); err != nil {
		return err
	}
	if err := writeFile(p.path("ca.key"), encodeKey(key), 0o600); err != nil {
		return err
	}
	p.ca, p.caKey = cert, key
	return nil
}

func (p *pki) issueServing(now time.Time) error {
	tmpl := leaf(pkix.Name{CommonName: "heddle-apiserver"}, x509.ExtKeyUsageServerAuth, now)
	for _, name := range p.names {
		if ip := net.ParseIP(name); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, name)
		}
	}
	return p.issue("serving", tmpl)
}

// issue writes NAME.key and NAME.crt. The certificate file also holds nothing
// but the leaf: clients know the CA.
func (p *pki) issue(name string, tmpl *x509.Certificate) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, p.ca, &key.PublicKey, p.caKey)
	if err != nil {
		return fmt.Errorf("issue certificate %s: %w", name, err)
	}
	if err := writeFile(p.path(name+".key"), encodeKey(key), 0o600); err != nil {
		return err
	}
	return writeFile(p.path(name+".crt"), encodeCert(der), 0o600)
}

// fresh tells whether the pair NAME.crt, NAME.key can be used a while longer.
func (p *pki) fresh(name string, now time.Time, hosts []string) bool {
	cert, err := readCert(p.path(name + ".crt"))
	if err != nil || cert.CheckSignatureFrom(p.ca) != nil {
		return false
	}
	key, err := readKey(p.path(name + ".key"))
	if err != nil || !key.PublicKey.Equal(cert.PublicKey) {
		return false
	}
	for _, host := range hosts {
		if cert.VerifyHostname(host) != nil {
			return false
		}
	}
	life := cert.NotAfter.Sub(cert.NotBefore)
	return now.After(cert.NotBefore) && now.Before(cert.NotAfter.Add(-life/3))
}

func leaf(subject pkix.Name, usage x509.ExtKeyUsage, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: serial(), Subject: subject,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(leafLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		BasicConstraintsValid: true,
	}
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil { // crypto/rand does not fail on supported systems
		panic(err)
	}
	return n.Add(n, big.NewInt(1))
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func writeKey(name string) (*ecdsa.PrivateKey, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	return key, writeFile(name, encodeKey(key), 0o600)
}

func encodeKey(key *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil { // only an unknown curve fails
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func readKey(name string) (*ecdsa.PrivateKey, error) {
	block, err := readPEM(name, "EC PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParseECPrivateKey(block)
	if err != nil {
		return nil, broken(name, err)
	}
	return key, nil
}

func readCert(name string) (*x509.Certificate, error) {
	block, err := readPEM(name, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(block)
	if err != nil {
		return nil, broken(name, err)
	}
	return cert, nil
}

func readPEM(name, kind string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, broken(name, fmt.Errorf("no %s in it", kind))
	}
	return block.Bytes, nil
}

func broken(name string, err error) error {
	return fmt.Errorf("the file %s cannot be used (%w): restore it, or move the pki folder away to make new keys", name, err)
}
