package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	securityv1alpha1 "istio.io/api/security/v1alpha1"

	"github.com/heddle-mesh/heddle/identity"
)

func domain(t *testing.T) identity.TrustDomain {
	t.Helper()
	d, err := identity.ParseTrustDomain("cluster.local")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func open(t *testing.T, dir string) *Authority {
	t.Helper()
	a, err := Open(dir, domain(t))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// request asks for the identity of somebody else in its names; the authority must not care.
func request(t *testing.T, key any) []byte {
	t.Helper()
	liar, _ := url.Parse("spiffe://cluster.local/ns/kube-system/sa/admin")
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{liar}, DNSNames: []string{"admin"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestSignCertifiesTheCredentialOnly(t *testing.T) {
	a := open(t, t.TempDir())
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	id := identity.NewID(domain(t), "shop", "web")
	chain, expires, err := a.Sign(request(t, key), id, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := certificate(chain)
	if err != nil {
		t.Fatal(err)
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != id.String() || len(leaf.DNSNames) != 0 || leaf.IsCA {
		t.Errorf("certified %v %v, want only %s", leaf.URIs, leaf.DNSNames, id)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.Roots())
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if d := time.Until(expires); d > time.Hour || d < 59*time.Minute {
		t.Errorf("valid for %s, want an hour", d)
	}
}

func TestSignRefuses(t *testing.T) {
	a := open(t, t.TempDir())
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	weak, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	other, _ := identity.ParseTrustDomain("other.example")
	id := identity.NewID(domain(t), "shop", "web")
	broken := request(t, key)
	broken[len(broken)-1] ^= 1
	for name, try := range map[string]struct {
		csr []byte
		id  identity.ID
	}{
		"foreign domain":   {request(t, key), identity.NewID(other, "shop", "web")},
		"no identity":      {request(t, key), identity.ID{}},
		"weak curve":       {request(t, weak), id},
		"garbage":          {[]byte("x"), id},
		"broken signature": {broken, id},
	} {
		if _, _, err := a.Sign(try.csr, try.id, 0); err == nil {
			t.Errorf("%s: it was signed", name)
		}
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err == nil { // some builds of crypto/rsa refuse to make it
		if _, _, err := a.Sign(request(t, small), id, 0); err == nil {
			t.Error("a key of 1024 bits was certified")
		}
	}
}

func TestTheAuthorityOutlivesARestart(t *testing.T) {
	dir := t.TempDir()
	first := string(open(t, dir).Roots())
	if string(open(t, dir).Roots()) != first {
		t.Error("the second start made another root")
	}
	if err := os.WriteFile(filepath.Join(dir, keyFile), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir, domain(t))
	if err == nil || !strings.Contains(err.Error(), keyFile) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a broken key: %v; the sentence must name the folder and the file", err)
	}
}

type caller struct {
	id  identity.ID
	err error
}

func (c caller) Authenticate(context.Context) (identity.ID, error) { return c.id, c.err }

type counts struct{ requests, issued, failed int }

func (c *counts) Request()      { c.requests++ }
func (c *counts) Issued()       { c.issued++ }
func (c *counts) Failed(string) { c.failed++ }

func TestCreateCertificate(t *testing.T) {
	a := open(t, t.TempDir())
	n := &counts{}
	s := &Service{Authority: a, Authenticator: caller{id: identity.NewID(domain(t), "shop", "web")}, Counter: n, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	csr := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request(t, key)}))
	resp, err := s.CreateCertificate(t.Context(), &securityv1alpha1.IstioCertificateRequest{Csr: csr, ValidityDuration: 3600})
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.CertChain) != 2 || resp.CertChain[1] != string(a.Roots()) {
		t.Errorf("the chain has %d parts, want the leaf and then the root", len(resp.CertChain))
	}
	if _, err := s.CreateCertificate(t.Context(), &securityv1alpha1.IstioCertificateRequest{Csr: "x"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("garbage: %v", err)
	}
	s.Authenticator = caller{err: errors.New("no token")}
	if _, err := s.CreateCertificate(t.Context(), &securityv1alpha1.IstioCertificateRequest{Csr: csr}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a stranger: %v", err)
	}
	if n.requests != 3 || n.issued != 1 || n.failed != 2 {
		t.Errorf("counted %+v", n)
	}
}

func FuzzSign(f *testing.F) {
	dir := f.TempDir()
	d, _ := identity.ParseTrustDomain("cluster.local")
	a, err := Open(dir, d)
	if err != nil {
		f.Fatal(err)
	}
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, _ := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	f.Add(der)
	id := identity.NewID(d, "shop", "web")
	f.Fuzz(func(t *testing.T, csr []byte) {
		chain, _, err := a.Sign(csr, id, 0)
		if err != nil {
			return
		}
		leaf, err := certificate(chain)
		if err != nil || len(leaf.URIs) != 1 || leaf.URIs[0].String() != id.String() {
			t.Errorf("certified something else: %v, %v", leaf, err)
		}
	})
}

func TestFilesMoveAnAuthority(t *testing.T) {
	from, to, other := t.TempDir(), t.TempDir(), t.TempDir()
	domain, err := identity.ParseTrustDomain("cluster.local")
	if err != nil {
		t.Fatal(err)
	}
	a, err := Open(from, domain)
	if err != nil {
		t.Fatal(err)
	}
	files, err := Files(from)
	if err != nil || len(files) != 3 {
		t.Fatal(len(files), err)
	}
	if _, err := Open(to, domain); err != nil { // it holds another one
		t.Fatal(err)
	}
	if err := Restore(to, files); err != nil {
		t.Fatal(err)
	}
	b, err := Open(to, domain)
	if err != nil || string(b.Roots()) != string(a.Roots()) {
		t.Error("the authority has other roots, or none: ", err)
	}
	delete(files, "ca-key.pem")
	if err := Restore(other, files); err == nil {
		t.Error("an authority without its key is restored")
	}
}
