package tls_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	gotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop/sim"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
)

// below is an authority that this one vouches for.
func (a *authority) below(serial int64) *authority {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	t := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "below"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	return &authority{must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)))), key}
}

// revokes is a list of revoked certificates, in force from start for an hour.
func (a *authority) revokes(start time.Duration, serials ...int64) []*x509.RevocationList {
	now := time.Now().Add(start)
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.Add(time.Hour)}
	for _, s := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: now})
	}
	return []*x509.RevocationList{must(x509.ParseRevocationList(must(x509.CreateRevocationList(rand.Reader, list, a.cert, a.key))))}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func numbered(serial int64) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.SerialNumber = big.NewInt(serial) }
}

// TestRevocation: which client gets in, by the lists beside the roots.
func TestRevocation(t *testing.T) {
	root := newAuthority()
	between := root.below(50)
	impostor := newAuthority() // of the same name, with another key
	through := between.issue(numbered(7), clientID)
	through.Certificate = append(through.Certificate, between.cert.Raw)
	direct := root.issue(numbered(7), clientID)
	const refused = "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: X509_verify_cert: certificate verification error at depth "
	for _, x := range []struct {
		name string
		cert gotls.Certificate
		crl  []*x509.RevocationList
		leaf bool
		want string
	}{
		{"not on the list", direct, root.revokes(0, 6, 8), false, ""},
		{"on the list", direct, root.revokes(0, 7), false, refused + "0: certificate revoked"},
		{"one of two lists", direct, slices.Concat(root.revokes(0, 6), root.revokes(0, 7)), false, refused + "0: certificate revoked"},
		{"an old list that names it", direct, slices.Concat(root.revokes(-2*time.Hour, 7), root.revokes(0)), false, refused + "0: certificate revoked"},
		{"an old list", direct, root.revokes(-2 * time.Hour), false, refused + "0: CRL has expired"},
		{"a list of the future", direct, root.revokes(time.Minute), false, refused + "0: CRL is not yet valid"},
		{"an old list and a new one", direct, slices.Concat(root.revokes(-2*time.Hour), root.revokes(0)), false, ""},
		{"a list that nobody signed", direct, impostor.revokes(0), false, refused + "0: unable to get certificate CRL"},
		{"no list of its issuer", through, root.revokes(0), false, refused + "0: unable to get certificate CRL"},
		{"lists of both issuers", through, slices.Concat(root.revokes(0, 7), between.revokes(0, 50)), false, ""},
		{"the issuer is revoked", through, slices.Concat(root.revokes(0, 50), between.revokes(0)), false, refused + "1: certificate revoked"},
		{"nobody asks for the issuer", through, slices.Concat(root.revokes(0, 50), between.revokes(0)), true, ""},
		{"only the leaf, revoked", through, between.revokes(0, 7), true, refused + "0: certificate revoked"},
	} {
		t.Run(x.name, func(t *testing.T) {
			from := newSecrets(root)
			from.certificates["client"] = tls.NewSource(must(tls.NewCertificates(x.cert)))
			trust := must(tls.TrustOf(&config.SecretRef{Roots: root.pem(), Revoked: x.crl, LeafCRL: x.leaf}))
			from.trust["server"].Store(trust)
			sx, cx := must(tls.NewServerContext(serverConfig(), from)), must(tls.NewClientContext(clientConfig(), from))
			for range 2 { // the second time signatures have been looked at
				_, server := shake(t, sim.New(1), sx, cx, tls.Handshake{})
				check(t, "server", server.err, x.want, true)
			}
		})
	}
}

// TestRevocationEndsSessions: a ticket from before the certificate was revoked is worth nothing.
func TestRevocationEndsSessions(t *testing.T) {
	root := newAuthority()
	from := newSecrets(root)
	from.certificates["client"] = tls.NewSource(must(tls.NewCertificates(root.issue(numbered(7), clientID))))
	list := func(serials ...int64) {
		from.trust["server"].Store(must(tls.TrustOf(&config.SecretRef{Roots: root.pem(), Revoked: root.revokes(0, serials...)})))
	}
	list()
	sx, cx := must(tls.NewServerContext(serverConfig(), from)), must(tls.NewClientContext(clientConfig(), from))
	for range 2 {
		if c, srv := visit(t, sx, cx); c.err != nil || srv.err != nil {
			t.Fatal(c.err, srv.err)
		}
	}
	list(7)
	if _, srv := visit(t, sx, cx); srv.err == nil {
		t.Fatal("a revoked client came back")
	}
}
