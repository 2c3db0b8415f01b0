package tls_test

import (
	"context"
	gotls "crypto/tls"
	"errors"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/loop/sim"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
)

// visit shakes hands and reads a greeting, behind which the server's session ticket has come.
func visit(t *testing.T, sx *tls.ServerContext, cx *tls.ClientContext) (client, server *outcome) {
	t.Helper()
	s := sim.New(1)
	client, server = shake(t, s, sx, cx, tls.Handshake{})
	if client.err != nil || server.err != nil {
		return client, server
	}
	got := &sim.Recorder{}
	client.conn.SetHandler(got)
	server.conn.SetHandler(&sim.Recorder{})
	s.At(0, func() { server.conn.Write([]byte("welcome")) })
	s.Run(time.Second)
	if string(got.Data) != "welcome" && got.Err == nil {
		t.Fatalf("read %q", got.Data)
	}
	return client, server
}

func TestSessionsEndWithTheSecretsTheyWereProvedWith(t *testing.T) {
	a := newAuthority()
	from := newSecrets(a)
	sx, cx := must(tls.NewServerContext(serverConfig(), from)), must(tls.NewClientContext(clientConfig(), from))
	resumed := func() bool {
		c, srv := visit(t, sx, cx)
		if c.err != nil || srv.err != nil {
			t.Fatal(c.err, srv.err)
		}
		if srv.conn.Origin().Identity() != clientID || c.conn.Origin().Identity() != serverID {
			t.Fatal("a session without identities")
		}
		return srv.conn.Origin().TLS.State.DidResume
	}
	if resumed() {
		t.Fatal("the first session was resumed")
	}
	if !resumed() {
		t.Fatal("the second session was not resumed")
	}
	from.certificates["server"].Store(must(tls.NewCertificates(a.issue(nil, serverID))))
	if resumed() {
		t.Fatal("a session outlived the server's certificate")
	}
	from.trust["server"].Store(newAuthority().trust())
	if c, srv := visit(t, sx, cx); srv.err == nil {
		t.Fatalf("a client of a revoked root was let in: %+v", c)
	}
}

func TestPolicyIsCheckedOnResumption(t *testing.T) {
	a := newAuthority()
	from := newSecrets(a)
	cfg := serverConfig()
	sx, cx := must(tls.NewServerContext(cfg, from)), must(tls.NewClientContext(clientConfig(), from))
	if c, srv := visit(t, sx, cx); c.err != nil || srv.err != nil {
		t.Fatal(c.err, srv.err)
	}
	// The same tickets, but the client's certificate has no accepted name any more.
	cfg.SANs = match(config.URISAN, config.Exact, "spiffe://cluster.local/ns/a/sa/other")
	if _, srv := visit(t, sx, cx); srv.err == nil {
		t.Fatal("a resumed session went round the policy")
	}
}

func TestHandshakeTimeout(t *testing.T) {
	s := sim.New(1)
	sx, cx := mutual(newAuthority())
	a, b := s.Pipe()
	silent, server := &sim.Recorder{}, &outcome{}
	a.SetHandler(silent)
	s.At(0, func() { tls.Server(b, sx, tls.Handshake{Timeout: 3 * time.Second}, server.take) })
	// A client whose server never answers.
	c, d := s.Pipe()
	client := &outcome{}
	d.SetHandler(&sim.Recorder{})
	s.At(0, func() { tls.Client(c, cx, tls.Handshake{Timeout: 4 * time.Second}, client.take) })
	start := s.Now()
	s.RunUntil(time.Minute, func() bool { return server.n > 0 && client.n > 0 })
	if took := s.Now().Sub(start); took < 4*time.Second || took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	for _, o := range []*outcome{server, client} {
		var e *tls.Error
		if !errors.As(o.err, &e) || !e.Timeout || !errors.Is(o.err, context.DeadlineExceeded) || o.n != 1 {
			t.Errorf("%+v", o)
		}
	}
	s.Run(time.Minute)
	if !silent.EOF && silent.Closed == 0 {
		t.Error("the silent client was not closed")
	}
}

// A server whose secret has not come refuses a client that has spoken already, and lives on.
func TestAServerWithoutCertificate(t *testing.T) {
	s, from := sim.New(1), newSecrets(newAuthority())
	from.certificates["server"] = &tls.Source[tls.Certificates]{}
	sx, cx := must(tls.NewServerContext(serverConfig(), from)), must(tls.NewClientContext(clientConfig(), from))
	a, b := s.Pipe()
	client, server := &outcome{}, &outcome{}
	s.At(0, func() { tls.Client(a, cx, tls.Handshake{}, client.take) })
	s.At(0, func() { b.SetHandler(&inspector{then: func() { tls.Server(b, sx, tls.Handshake{}, server.take) }}) })
	if !s.RunUntil(time.Minute, func() bool { return client.n+server.n == 2 }) || client.err == nil || server.err == nil {
		t.Fatalf("client %+v, server %+v", client, server)
	}
}

// inspector looks at the first bytes, as a listener does, and hands over.
type inspector struct{ then func() }

func (i *inspector) OnData([]byte) int {
	i.then()
	return 0
}
func (*inspector) OnEOF()        {}
func (*inspector) OnWritable()   {}
func (*inspector) OnClose(error) {}

func TestCanceledHandshakeTellsNothing(t *testing.T) {
	s := sim.New(1)
	_, cx := mutual(newAuthority())
	c, d := s.Pipe()
	peer, client := &sim.Recorder{}, &outcome{}
	d.SetHandler(peer)
	s.At(0, func() {
		attempt := tls.Client(c, cx, tls.Handshake{}, client.take)
		s.Worker().After(time.Second, attempt.Cancel)
	})
	s.Run(time.Minute)
	if client.n != 0 || !peer.EOF && peer.Closed == 0 {
		t.Fatalf("%+v %+v", client, peer)
	}
}

// A peer that speaks plaintext is told apart from one with a bad certificate.
func TestPlaintextPeer(t *testing.T) {
	s := sim.New(1)
	_, cx := mutual(newAuthority())
	c, d := s.Pipe()
	d.SetHandler(&sim.Recorder{OnBytes: func() { d.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }})
	client := &outcome{}
	s.At(0, func() { tls.Client(c, cx, tls.Handshake{}, client.take) })
	s.Run(time.Minute)
	var e *tls.Error
	if !errors.As(client.err, &e) || e.Reason != "TLS_error:|268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end" {
		t.Fatalf("%v", client.err)
	}
}

func TestServerNameAndProtocolsOfTheConnectionGoFirst(t *testing.T) {
	sx, cx := mutual(newAuthority())
	c, srv := shake(t, sim.New(1), sx, cx, tls.Handshake{SNI: "other.example", ALPN: []string{"h2"}})
	if c.err != nil || srv.err != nil {
		t.Fatal(c.err, srv.err)
	}
	if s := srv.conn.Origin().TLS.State; s.ServerName != "other.example" || s.NegotiatedProtocol != "h2" {
		t.Fatalf("%q %q", s.ServerName, s.NegotiatedProtocol)
	}
}

func TestContextsNameTheField(t *testing.T) {
	from := newSecrets(newAuthority())
	for want, edit := range map[string]func(*config.ServerTLS){
		`common_tls_context.tls_certificates[0]: no certificate "lost"`:                                                                func(c *config.ServerTLS) { c.Certificates[0].Name = "lost" },
		"common_tls_context.tls_certificates: a server needs a certificate":                                                            func(c *config.ServerTLS) { c.Certificates = nil },
		`common_tls_context.validation_context: no trust anchors "lost"`:                                                               func(c *config.ServerTLS) { c.Roots.Name = "lost" },
		"common_tls_context.tls_params.tls_maximum_protocol_version: TLS 1.1 is below the minimum, TLS 1.2":                            func(c *config.ServerTLS) { c.MaxVersion = gotls.VersionTLS11 },
		"common_tls_context.validation_context.match_typed_subject_alt_names: names are proved only by a verified chain to trusted_ca": func(c *config.ServerTLS) { c.Roots = nil },
	} {
		c := serverConfig()
		edit(c)
		if _, err := tls.NewServerContext(c, from); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	empty := &secrets{map[string]*tls.Source[tls.Certificates]{"server": {}}, map[string]*tls.Source[tls.Trust]{"server": {}}}
	x := must(tls.NewServerContext(serverConfig(), empty))
	if x.Ready() {
		t.Error("ready without a certificate")
	}
	empty.certificates["server"].Store(must(tls.NewCertificates(newAuthority().issue(nil))))
	if x.Ready() {
		t.Error("ready without trust anchors")
	}
	empty.trust["server"].Store(newAuthority().trust())
	if !x.Ready() {
		t.Error("not ready")
	}
}

var _ loop.Conn = (*tls.Conn)(nil)
