package secret

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
	securityv1alpha1 "istio.io/api/security/v1alpha1"
)

const id = "spiffe://cluster.local/ns/shop/sa/web"

// authority is a CA with a root and an intermediate, whose answers can be spoilt.
type authority struct {
	mu          sync.Mutex
	root, inter *x509.Certificate
	interKey    *ecdsa.PrivateKey
	down        error
	id          string
	ttl         time.Duration
	calls       int
	otherKey    bool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	mk := func(name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1e6 * time.Hour), KeyUsage: x509.KeyUsageCertSign}
		if parent == nil {
			parent, parentKey = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c, key
	}
	root, rootKey := mk("root", nil, nil)
	inter, interKey := mk("intermediate", root, rootKey)
	return &authority{root: root, inter: inter, interKey: interKey, id: id, ttl: time.Hour}
}

func (a *authority) CreateCertificate(_ context.Context, csrPEM []byte, _ time.Duration) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	if a.down != nil {
		return nil, a.down
	}
	block, _ := pem.Decode(csrPEM)
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	public := csr.PublicKey
	if a.otherKey {
		public = a.interKey.Public()
	}
	uri, _ := url.Parse(a.id)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(int64(a.calls)), URIs: []*url.URL{uri}, NotBefore: time.Now(), NotAfter: time.Now().Add(a.ttl)}, a.inter, public, a.interKey)
	if err != nil {
		return nil, err
	}
	leaf, _ := x509.ParseCertificate(der)
	return []string{string(encode(leaf)), string(encode(a.inter)), string(encode(a.root))}, nil
}

func TestRequestChecksTheAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*authority)
		want  string
	}{
		"good":             {func(*authority) {}, ""},
		"another identity": {func(a *authority) { a.id = "spiffe://cluster.local/ns/shop/sa/admin" }, "answered for"},
		"another key":      {func(a *authority) { a.otherKey = true }, "another key"},
		"expired":          {func(a *authority) { a.ttl = -time.Second }, "ended at"},
		"unverifiable":     {func(a *authority) { a.root = newAuthority(t).root }, "verify certificate"},
		"down":             {func(a *authority) { a.down = errors.New("unavailable") }, "unavailable"},
	} {
		a := newAuthority(t)
		c.spoil(a)
		s, err := Request(t.Context(), a, id, time.Hour, time.Now())
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error %v, want %q", name, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(s.TLS.Certificate) != 2 || strings.Count(string(s.ChainPEM), "BEGIN") != 2 || strings.Count(string(s.RootsPEM), "BEGIN") != 1 {
			t.Errorf("%s: chain %s roots %s", name, s.ChainPEM, s.RootsPEM)
		}
	}
}

func TestRotationAtHalfLifeAndWithTheCAAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		r := &Rotation{CA: a, ID: id, Log: slog.New(slog.DiscardHandler)}
		var heard atomic.Int32
		r.Subscribe(func(*SVID) { heard.Add(1) })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.Run(ctx); close(done) }()
		synctest.Wait()
		first := r.Current()
		if first == nil || heard.Load() != 1 {
			t.Fatalf("no certificate at once: %v", r.Failure())
		}
		time.Sleep(23 * time.Minute)
		if r.Current() != first {
			t.Error("renewed before 40 % of its life")
		}
		time.Sleep(8 * time.Minute)
		synctest.Wait()
		second := r.Current()
		if second == first || heard.Load() != 2 {
			t.Error("not renewed at half of its life")
		}
		a.mu.Lock()
		a.down = errors.New("the CA is away")
		a.mu.Unlock()
		time.Sleep(50 * time.Minute)
		synctest.Wait()
		if r.Current() != second || r.Failure() == nil {
			t.Error("the old certificate did not stay while the CA is away")
		}
		a.mu.Lock()
		a.down = nil
		a.mu.Unlock()
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if r.Current() == second || r.Failure() != nil {
			t.Error("not renewed after the CA came back")
		}
		cancel()
		<-done
	})
}

// served answers over gRPC what an authority does.
type served struct {
	securityv1alpha1.UnimplementedIstioCertificateServiceServer
	ca *authority
}

func (s served) CreateCertificate(ctx context.Context, r *securityv1alpha1.IstioCertificateRequest) (*securityv1alpha1.IstioCertificateResponse, error) {
	chain, err := s.ca.CreateCertificate(ctx, []byte(r.GetCsr()), 0)
	return &securityv1alpha1.IstioCertificateResponse{CertChain: chain}, err
}

// counted counts the connections that a server has.
type counted struct{ open, all atomic.Int32 }

func (c *counted) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (c *counted) HandleRPC(context.Context, stats.RPCStats)                       {}
func (c *counted) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return ctx
}
func (c *counted) HandleConn(_ context.Context, s stats.ConnStats) {
	switch s.(type) {
	case *stats.ConnBegin:
		c.open.Add(1)
		c.all.Add(1)
	case *stats.ConnEnd:
		c.open.Add(-1)
	}
}

// TestNobodyKeepsAConnectionToTheCA: with thousands of proxies it would be most of what each costs the control plane.
func TestNobodyKeepsAConnectionToTheCA(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connections counted
	g := grpc.NewServer(grpc.StatsHandler(&connections))
	securityv1alpha1.RegisterIstioCertificateServiceServer(g, served{ca: newAuthority(t)})
	go func() { _ = g.Serve(l) }()
	defer g.Stop()
	c, err := NewClient(Channel{Address: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	r := &Rotation{CA: c, ID: id, Log: slog.New(slog.DiscardHandler)}
	for range 2 {
		if _, err := r.request(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(10 * time.Second); connections.open.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d connections stay open", connections.open.Load())
		}
	}
	if n := connections.all.Load(); n != 2 {
		t.Errorf("%d connections for 2 certificates", n)
	}
}

func TestATokenNeverTravelsInPlaintextToAnotherMachine(t *testing.T) {
	if _, err := NewClient(Channel{Address: "10.0.0.1:15012", TokenFile: "/token"}); err == nil || !strings.Contains(err.Error(), "--root-cert") {
		t.Errorf("error %v", err)
	}
	for _, a := range []string{"127.0.0.1:15010", "[::1]:15010", "unix:/run/xds.sock"} {
		if _, err := NewClient(Channel{Address: a, TokenFile: "/token"}); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}

// A token that is over is not sent where the workload's certificate proves the same; one that says nothing of its end is believed.
func TestCertificateInPlaceOfAToken(t *testing.T) {
	a := newAuthority(t)
	good, err := Request(t.Context(), a, id, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	old := *good
	old.NotAfter = time.Now().Add(-time.Second)
	jwt := func(end time.Time) string {
		return "e30." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp": %d}`, end.Unix())) + ".c2ln"
	}
	file := filepath.Join(t.TempDir(), "token")
	for _, c := range []struct {
		name, token, root string
		own               *SVID
		sent              string
		shown             bool
	}{
		{"a good token", jwt(time.Now().Add(time.Minute)), "/root", good, jwt(time.Now().Add(time.Minute)), false},
		{"a token that is over", jwt(time.Now().Add(-time.Minute)), "/root", good, "", true},
		{"a token that is over, before there is a certificate", jwt(time.Unix(1, 0)), "/root", nil, jwt(time.Unix(1, 0)), false},
		{"a token and a certificate that are over", jwt(time.Unix(1, 0)), "/root", &old, jwt(time.Unix(1, 0)), false},
		{"an opaque token", "secret", "/root", good, "secret", false},
		{"no JSON", "a.b.c", "/root", good, "a.b.c", false},
		{"plaintext", jwt(time.Unix(1, 0)), "", good, jwt(time.Unix(1, 0)), false},
	} {
		if err := os.WriteFile(file, []byte(c.token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		ch := Channel{Address: "localhost:1", TokenFile: file, RootCert: c.root, Own: func() *SVID { return c.own }}
		sent, err := ch.Token()
		cert, _ := ch.Certificate(nil)
		if err != nil || sent != c.sent || (len(cert.Certificate) > 0) != c.shown {
			t.Errorf("%s: sends %q, shows %d certificates, %v", c.name, sent, len(cert.Certificate), err)
		}
	}
}
