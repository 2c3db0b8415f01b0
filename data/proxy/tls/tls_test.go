package tls_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	gotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	mrand "math/rand/v2"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/loop/sim"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
)

// authority issues certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newAuthority() *authority {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	return &authority{must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)))), key}
}

func (a *authority) trust() *tls.Trust {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return &tls.Trust{Pool: p, Anchors: 1}
}

func (a *authority) issue(edit func(*x509.Certificate), uris ...string) gotls.Certificate {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	t := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"leaf.example", "*.wild.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	for _, u := range uris {
		t.URIs = append(t.URIs, must(url.Parse(u)))
	}
	if edit != nil {
		edit(t)
	}
	der := must(x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key))
	return gotls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) source(uri string) *tls.Source[tls.Certificates] {
	return tls.NewSource(must(tls.NewCertificates(a.issue(nil, uri))))
}

const (
	clientID = "spiffe://cluster.local/ns/a/sa/client"
	serverID = "spiffe://cluster.local/ns/b/sa/server"
)

// secrets is a Secrets by name.
type secrets struct {
	certificates map[string]*tls.Source[tls.Certificates]
	trust        map[string]*tls.Source[tls.Trust]
}

func (s *secrets) Certificates(r config.SecretRef) *tls.Source[tls.Certificates] {
	return s.certificates[r.Name]
}
func (s *secrets) Trust(r config.SecretRef) *tls.Source[tls.Trust] { return s.trust[r.Name] }

func newSecrets(a *authority) *secrets {
	return &secrets{
		map[string]*tls.Source[tls.Certificates]{"client": a.source(clientID), "server": a.source(serverID)},
		map[string]*tls.Source[tls.Trust]{"client": tls.NewSource(a.trust()), "server": tls.NewSource(a.trust())},
	}
}

func match(kind config.SANKind, how config.StringKind, value string) []config.SANMatch {
	m := config.SANMatch{Kind: kind, Match: config.StringMatch{Kind: how, Value: value}}
	if how == config.Regex {
		m.Match.Regex = regexp.MustCompile("^(?:" + value + ")$")
	}
	return []config.SANMatch{m}
}

func serverConfig() *config.ServerTLS {
	return &config.ServerTLS{RequireClientCertificate: true, TLSParams: config.TLSParams{
		Certificates: []config.SecretRef{{Name: "server"}}, Roots: &config.SecretRef{Name: "server"}, ALPN: []string{"istio-peer-exchange", "h2", "http/1.1"},
		SANs: match(config.URISAN, config.Prefix, "spiffe://cluster.local/"),
	}}
}

func clientConfig() *config.ClientTLS {
	return &config.ClientTLS{SNI: "outbound_.80_._.b.example", TLSParams: config.TLSParams{
		Certificates: []config.SecretRef{{Name: "client"}}, Roots: &config.SecretRef{Name: "client"}, ALPN: []string{"istio-http/1.1", "http/1.1"},
		SANs: match(config.URISAN, config.Exact, serverID),
	}}
}

func mutual(a *authority) (*tls.ServerContext, *tls.ClientContext) {
	from := newSecrets(a)
	return must(tls.NewServerContext(serverConfig(), from)), must(tls.NewClientContext(clientConfig(), from))
}

// outcome is one side's end of a handshake.
type outcome struct {
	conn loop.Conn
	err  error
	n    int
}

func (o *outcome) take(c loop.Conn, err error) { o.conn, o.err, o.n = c, err, o.n+1 }

// shake makes a handshake over a simulated pipe.
func shake(t testing.TB, s *sim.Sim, sx *tls.ServerContext, cx *tls.ClientContext, h tls.Handshake) (client, server *outcome) {
	t.Helper()
	a, b := s.Pipe()
	client, server = &outcome{}, &outcome{}
	s.At(0, func() {
		tls.Server(b, sx, tls.Handshake{}, server.take)
		tls.Client(a, cx, h, client.take)
	})
	if !s.RunUntil(time.Minute, func() bool { return client.n+server.n == 2 }) {
		t.Fatalf("the handshake does not end: client %+v, server %+v", client, server)
	}
	return client, server
}

func TestMutualHandshakeTellsThePeersFacts(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3} {
		s := sim.New(seed)
		sx, cx := mutual(newAuthority())
		c, srv := shake(t, s, sx, cx, tls.Handshake{})
		if c.err != nil || srv.err != nil {
			t.Fatal(c.err, srv.err)
		}
		o := srv.conn.Origin()
		if o.Identity() != clientID || o.TLS.LocalURIs[0] != serverID || o.TLS.State.NegotiatedProtocol != "http/1.1" || o.TLS.State.ServerName != "outbound_.80_._.b.example" {
			t.Fatalf("%q %q %q %q", o.Identity(), o.TLS.LocalURIs, o.TLS.State.NegotiatedProtocol, o.TLS.State.ServerName)
		}
		if p := o.TLS.Peer; len(p.Hash) != 64 || p.Subject != "CN=leaf" || p.DNS[0] != "leaf.example" || !strings.HasPrefix(tls.PEM(o.TLS, false), "-----BEGIN%20CERTIFICATE-----%0A") {
			t.Fatalf("%+v %.60s", p, tls.PEM(o.TLS, false))
		}
		if c.conn.Origin().Identity() != serverID {
			t.Fatalf("client sees %q", c.conn.Origin().Identity())
		}
	}
}

// mover writes random blocks with back-pressure, ends its half, and collects what comes with pauses.
type mover struct {
	rng    *mrand.Rand
	c      loop.Conn
	send   []byte
	sent   int
	got    []byte
	eof    bool
	closed int
	err    error
}

func newMover(rng *mrand.Rand, c loop.Conn, n int) *mover {
	m := &mover{rng: rng, c: c, send: make([]byte, n)}
	for i := range m.send {
		m.send[i] = byte(rng.Uint32())
	}
	c.SetHandler(m)
	return m
}

func (m *mover) OnData(p []byte) int {
	n := len(p)
	if m.rng.IntN(3) == 0 {
		n = m.rng.IntN(n + 1)
		m.c.PauseRead()
		m.c.Worker().After(time.Duration(m.rng.IntN(3))*time.Millisecond, m.c.ResumeRead)
	}
	m.got = append(m.got, p[:n]...)
	return n
}
func (m *mover) OnEOF()            { m.eof = true }
func (m *mover) OnWritable()       { m.push() }
func (m *mover) OnClose(err error) { m.closed++; m.err = err }
func (m *mover) push() {
	for m.sent < len(m.send) && m.c.Buffered() <= loop.HighWatermark {
		n := min(1+m.rng.IntN(50000), len(m.send)-m.sent)
		m.c.Write(m.send[m.sent : m.sent+n])
		m.sent += n
	}
	if m.sent == len(m.send) {
		m.c.CloseWrite()
	}
}

func TestNothingIsLostOrReorderedInRecords(t *testing.T) {
	sx, cx := mutual(newAuthority())
	for seed := range uint64(150) {
		s := sim.New(seed)
		c, srv := shake(t, s, sx, cx, tls.Handshake{})
		if c.err != nil || srv.err != nil {
			t.Fatal(c.err, srv.err)
		}
		a, b := newMover(s.Rand(), c.conn, s.Rand().IntN(500000)), newMover(s.Rand(), srv.conn, s.Rand().IntN(100000))
		s.At(0, a.push)
		s.At(0, b.push)
		if !s.RunUntil(time.Hour, func() bool { return a.closed > 0 && b.closed > 0 }) {
			t.Fatalf("seed %d: not closed: %d/%d %d/%d eof %v %v closed %d %d", seed, len(a.got), len(b.send), len(b.got), len(a.send), a.eof, b.eof, a.closed, b.closed)
		}
		if !bytes.Equal(a.got, b.send) || !bytes.Equal(b.got, a.send) || !a.eof || !b.eof || a.err != nil || b.err != nil {
			t.Fatalf("seed %d: %d/%d %d/%d eof %v %v, %v %v", seed, len(a.got), len(b.send), len(b.got), len(a.send), a.eof, b.eof, a.err, b.err)
		}
		s.Run(time.Minute)
		if w := s.Worker(); a.closed != 1 || b.closed != 1 || w.BufferBytes() != 0 || w.Load() != 0 {
			t.Fatalf("seed %d: closed %d %d times, %d bytes and %d connections left", seed, a.closed, b.closed, w.BufferBytes(), w.Load())
		}
	}
}

func TestTruncationIsAnError(t *testing.T) {
	s := sim.New(7)
	sx, cx := mutual(newAuthority())
	a, b := s.Pipe()
	client, server := &outcome{}, &outcome{}
	s.At(0, func() {
		tls.Server(b, sx, tls.Handshake{}, server.take)
		tls.Client(a, cx, tls.Handshake{}, client.take)
	})
	s.RunUntil(time.Minute, func() bool { return client.n+server.n == 2 })
	r := &sim.Recorder{}
	server.conn.SetHandler(r)
	client.conn.SetHandler(&sim.Recorder{})
	s.At(0, func() { client.conn.Write([]byte("half a mess")) })
	s.At(time.Second, func() { a.CloseWrite() }) // FIN below TLS
	s.Run(time.Minute)
	if string(r.Data) != "half a mess" || r.EOF || r.Closed != 1 || !errors.Is(r.Err, tls.ErrTruncated) {
		t.Fatalf("%q eof=%v closed=%d %v", r.Data, r.EOF, r.Closed, r.Err)
	}
}

func TestRefusedPeers(t *testing.T) {
	a, other := newAuthority(), newAuthority()
	type edit func(*config.ServerTLS, *config.ClientTLS, *secrets)
	own := func(c gotls.Certificate) *tls.Source[tls.Certificates] {
		return tls.NewSource(must(tls.NewCertificates(c)))
	}
	const failed = "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: "
	cases := []struct {
		name           string
		edit           edit
		client, server string // the reason's beginning; "" for a handshake that succeeds
	}{
		{"accepted", func(*config.ServerTLS, *config.ClientTLS, *secrets) {}, "", ""},
		{"wrong name", func(_ *config.ServerTLS, c *config.ClientTLS, x *secrets) { c.SANs[0].Match.Value = clientID }, failed + "verify SAN list", "TLS_error:|268436498:SSL routines:OPENSSL_internal:SSLV3_ALERT_BAD_CERTIFICATE"},
		{"unknown root of the server", func(s *config.ServerTLS, _ *config.ClientTLS, x *secrets) {
			x.certificates["server"] = other.source(serverID)
		}, failed + "X509_verify_cert: certificate verification error at depth 0: unable to get local issuer", "TLS_error:"},
		{"unknown root of the client", func(_ *config.ServerTLS, c *config.ClientTLS, x *secrets) {
			x.certificates["client"] = other.source(clientID)
		}, "", failed + "X509_verify_cert"},
		{"other trust domain", func(_ *config.ServerTLS, c *config.ClientTLS, x *secrets) {
			x.certificates["client"] = a.source("spiffe://other/ns/a/sa/x")
		}, "", failed + "verify SAN list"},
		{"no client certificate", func(_ *config.ServerTLS, c *config.ClientTLS, x *secrets) { c.Certificates = nil }, "", "TLS_error:|268435648:SSL routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE"},
		{"client certificate not required", func(s *config.ServerTLS, c *config.ClientTLS, x *secrets) {
			c.Certificates, s.RequireClientCertificate = nil, false
		}, "", ""},
		{"bad certificate though not required", func(s *config.ServerTLS, c *config.ClientTLS, x *secrets) {
			x.certificates["client"], s.RequireClientCertificate = other.source(clientID), false
		}, "", failed},
		{"expired", func(s *config.ServerTLS, _ *config.ClientTLS, x *secrets) {
			x.certificates["server"] = own(a.issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, serverID))
		}, failed + "X509_verify_cert: certificate verification error at depth 0: certificate has expired", "TLS_error:"},
		{"wrong purpose", func(s *config.ServerTLS, _ *config.ClientTLS, x *secrets) {
			x.certificates["server"] = own(a.issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, serverID))
		}, failed + "X509_verify_cert: certificate verification error at depth 0: unsuitable certificate purpose", "TLS_error:"},
		{"no roots yet", func(_ *config.ServerTLS, c *config.ClientTLS, x *secrets) {
			x.trust["client"] = &tls.Source[tls.Trust]{}
		}, failed + "unable to get local issuer", "TLS_error:"},
		{"no certificate yet", func(s *config.ServerTLS, _ *config.ClientTLS, x *secrets) {
			x.certificates["server"] = &tls.Source[tls.Certificates]{}
		}, "", "TLS error: Secret is not supplied by SDS"},
		{"names: dns wildcard", func(_ *config.ServerTLS, c *config.ClientTLS, x *secrets) {
			c.SANs = match(config.DNSSAN, config.Exact, "x.wild.example")
		}, "", ""},
		{"names: wildcard is one label", func(_ *config.ServerTLS, c *config.ClientTLS, x *secrets) {
			c.SANs = match(config.DNSSAN, config.Exact, "x.y.wild.example")
		}, failed + "verify SAN list", "TLS_error:"},
		{"names: suffix", func(_ *config.ServerTLS, c *config.ClientTLS, x *secrets) {
			c.SANs = match(config.AnySAN, config.Suffix, "/sa/server")
		}, "", ""},
		{"names: whole regex", func(_ *config.ServerTLS, c *config.ClientTLS, x *secrets) {
			c.SANs = match(config.AnySAN, config.Regex, "sa/server")
		}, failed + "verify SAN list", "TLS_error:"},
		{"names: regex", func(_ *config.ServerTLS, c *config.ClientTLS, x *secrets) {
			c.SANs = match(config.AnySAN, config.Regex, "spiffe://.*/ns/b/sa/.*")
		}, "", ""},
		{"names: type", func(_ *config.ServerTLS, c *config.ClientTLS, x *secrets) {
			c.SANs = match(config.DNSSAN, config.Exact, serverID)
		}, failed + "verify SAN list", "TLS_error:"},
		{"no common version", func(s *config.ServerTLS, c *config.ClientTLS, x *secrets) {
			s.MinVersion, c.MaxVersion = gotls.VersionTLS13, gotls.VersionTLS12
		}, "TLS_error:|268436526:SSL routines:OPENSSL_internal:TLSV1_ALERT_PROTOCOL_VERSION", "TLS_error:"},
		{"tls 1.2", func(s *config.ServerTLS, _ *config.ClientTLS, x *secrets) { s.MaxVersion = gotls.VersionTLS12 }, "", ""},
		{"no common protocol goes on", func(s *config.ServerTLS, _ *config.ClientTLS, x *secrets) { s.ALPN = []string{"h3"} }, "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sc, cc, from := serverConfig(), clientConfig(), newSecrets(a)
			c.edit(sc, cc, from)
			client, server := shake(t, sim.New(1), must(tls.NewServerContext(sc, from)), must(tls.NewClientContext(cc, from)), tls.Handshake{})
			check(t, "client", client.err, c.client, c.server == "")
			check(t, "server", server.err, c.server, true)
		})
	}
}

// check compares the reason of a side; in TLS 1.3 a client is done before the server refuses it.
func check(t *testing.T, side string, err error, want string, strict bool) {
	t.Helper()
	var e *tls.Error
	switch {
	case want == "" && err != nil && strict:
		t.Errorf("%s: %v", side, err)
	case want != "" && !errors.As(err, &e):
		t.Errorf("%s: no failure, want %q", side, want)
	case want != "" && !strings.HasPrefix(e.Reason, want):
		t.Errorf("%s: %q (%v), want %q", side, e.Reason, e.Err, want)
	}
}
