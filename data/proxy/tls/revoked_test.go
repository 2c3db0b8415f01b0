package tls_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	gotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"strings"
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

// revokes is a list of revoked certificates, in PEM, in force from start for an hour.
func (a *authority) revokes(start time.Duration, serials ...int64) []byte {
	now := time.Now().Add(start)
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.Add(time.Hour)}
	for _, s := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: now})
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: must(x509.CreateRevocationList(rand.Reader, list, a.cert, a.key))})
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
	join := func(lists ...[]byte) (all []byte) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	const refused = "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: X509_verify_cert: certificate verification error at depth "
	for _, x := range []struct {
		name string
		cert gotls.Certificate
		crl  []byte
		leaf bool
		want string
	}{
		{"not on the list", direct, root.revokes(0, 6, 8), false, ""},
		{"on the list", direct, root.revokes(0, 7), false, refused + "0: certificate revoked"},
		{"one of two lists", direct, join(root.revokes(0, 6), root.revokes(0, 7)), false, refused + "0: certificate revoked"},
		{"an old list that names it", direct, join(root.revokes(-2*time.Hour, 7), root.revokes(0)), false, refused + "0: certificate revoked"},
		{"an old list", direct, root.revokes(-2 * time.Hour), false, refused + "0: CRL has expired"},
		{"a list of the future", direct, root.revokes(time.Minute), false, refused + "0: CRL is not yet valid"},
		{"an old list and a new one", direct, join(root.revokes(-2*time.Hour), root.revokes(0)), false, ""},
		{"a list that nobody signed", direct, impostor.revokes(0), false, refused + "0: unable to get certificate CRL"},
		{"no list of its issuer", through, root.revokes(0), false, refused + "0: unable to get certificate CRL"},
		{"lists of both issuers", through, join(root.revokes(0, 7), between.revokes(0, 50)), false, ""},
		{"the issuer is revoked", through, join(root.revokes(0, 50), between.revokes(0)), false, refused + "1: certificate revoked"},
		{"nobody asks for the issuer", through, join(root.revokes(0, 50), between.revokes(0)), true, ""},
		{"only the leaf, revoked", through, between.revokes(0, 7), true, refused + "0: certificate revoked"},
	} {
		t.Run(x.name, func(t *testing.T) {
			from := newSecrets(root)
			from.certificates["client"] = tls.NewSource(must(tls.NewCertificates(x.cert)))
			trust := must(tls.TrustOf(&config.SecretRef{Roots: root.pem(), CRL: x.crl, LeafCRL: x.leaf}))
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
		from.trust["server"].Store(must(tls.TrustOf(&config.SecretRef{Roots: root.pem(), CRL: root.revokes(0, serials...)})))
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

func TestListsThatCannotBeRead(t *testing.T) {
	root := newAuthority()
	delta := must(x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(2), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}}, root.cert, root.key))
	for want, crl := range map[string][]byte{
		"no revocation list":    root.pem(),
		"critical extension":    pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: delta}),
		"parse revocation list": pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: []byte("x")}),
	} {
		if _, err := tls.TrustOf(&config.SecretRef{Roots: root.pem(), CRL: crl}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
