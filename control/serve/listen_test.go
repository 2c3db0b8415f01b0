package serve

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"context"

	"github.com/heddle-mesh/heddle/control/token"
	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/internal/backoff"
	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/client"
)

func TestBusyPortNamesThePortAndTheFlag(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Listen("xds-address", l.Addr().String())
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "--xds-address") {
		t.Error(err)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "xds.sock")
	l, err := Listen("xds-socket", "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Error(fi.Mode(), err)
	}
	if _, err := Listen("xds-socket", "unix:"+path); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Error(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close() // as after kill -9: the file stays
	l, err = Listen("xds-socket", "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := os.WriteFile(path, []byte("a file of the user"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("xds-socket", "unix:"+path); err == nil {
		t.Error("a file that is no socket was replaced")
	}
}

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	c := a.sign(t, &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.cert, a.key = c.Leaf, c.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

func (a *authority) sign(t *testing.T, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// TestCredentials serves TLS and a unix socket; the identity comes from the certificate, or from the token.
func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	server := ca.sign(t, &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{"heddled"}})
	tlsListener, err := Listen("tls", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unix, err := Listen("unix", "unix:"+filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	tokens := filepath.Join(dir, "tokens")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	secret, err := token.Issue(tokens, "bob", token.Claims{Namespace: "default", ServiceAccount: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	folder, err := token.Open(tokens)
	if err != nil {
		t.Fatal(err)
	}
	tokenFile := filepath.Join(dir, "token")
	if err := os.WriteFile(tokenFile, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	domain, _ := identity.ParseTrustDomain("mesh.test")
	observer := newRecorder()
	d := &desk{server: New(Options{Authenticator: Credentials{Tokens: folder, TrustDomain: domain}, Observer: observer})}
	d.publish([]*xds.Resource{res(xds.Cluster, "a", "1")})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- d.server.Run(ctx, []Endpoint{
			{Name: "unix", Listener: unix},
			{Name: "tls", Listener: tlsListener, TLS: &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven}},
		})
	}()
	t.Cleanup(func() { cancel(); <-done })

	id, _ := url.Parse("spiffe://mesh.test/ns/default/sa/carol")
	carol := ca.sign(t, &x509.Certificate{SerialNumber: big.NewInt(3), URIs: []*url.URL{id}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	trust := &tls.Config{RootCAs: pool, ServerName: "heddled"}
	mutual := trust.Clone()
	mutual.Certificates = []tls.Certificate{carol}
	for _, c := range []struct {
		name, account string
		cfg           client.Config
	}{
		{"token over a unix socket", "bob", client.Config{Target: "unix:" + filepath.Join(dir, "s"), TokenFile: tokenFile}},
		{"token over TLS", "bob", client.Config{Target: tlsListener.Addr().String(), TLS: trust, TokenFile: tokenFile}},
		{"certificate", "carol", client.Config{Target: tlsListener.Addr().String(), TLS: mutual}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRecorder()
			c.cfg.Handler, c.cfg.Node = r, node(sidecar, "default", c.account)
			c.cfg.Backoff = backoff.Backoff{First: 10 * time.Millisecond}
			cl, err := client.New(c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			cl.Subscribe(xds.Cluster)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); _ = cl.Run(ctx) }()
			r.until(t, "served", func() bool { return r.holds(cds("a")) == "1" })
			for p := range d.server.Proxies() {
				if p.Identity.String() != "spiffe://mesh.test/ns/default/sa/"+c.account {
					t.Errorf("identity %s", p.Identity)
				}
			}
			cancel()
			<-ended
			observer.until(t, "gone", func() bool {
				n := 0
				for range d.server.Proxies() {
					n++
				}
				return n == 0
			})
		})
	}
}
