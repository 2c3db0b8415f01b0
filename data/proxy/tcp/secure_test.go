package tcp_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	gotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/accept"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/dial"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/loop/sim"
	"github.com/heddle-mesh/heddle/data/proxy/tcp"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
)

// keys holds one self-signed certificate under every name.
type keys struct {
	certificates *tls.Source[tls.Certificates]
	trust        *tls.Source[tls.Trust]
	pair         gotls.Certificate
	pool         *x509.CertPool
}

func (k *keys) Certificates(config.SecretRef) *tls.Source[tls.Certificates] { return k.certificates }
func (k *keys) Trust(config.SecretRef) *tls.Source[tls.Trust]               { return k.trust }

func newKeys(t testing.TB) *keys {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "both"}, DNSNames: []string{"a.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pair := gotls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	cs, err := tls.NewCertificates(pair)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cs.Chains[0].Leaf)
	return &keys{tls.NewSource(cs), tls.NewSource(&tls.Trust{Pool: pool, Anchors: 1}), pair, pool}
}

func (k *keys) contexts(t testing.TB) (*config.ServerTLS, *tls.ServerContext, *tls.ClientContext) {
	t.Helper()
	params := config.TLSParams{Certificates: []config.SecretRef{{Name: "x"}}, Roots: &config.SecretRef{Name: "x"}}
	server := &config.ServerTLS{RequireClientCertificate: true, TLSParams: params}
	sx, err := tls.NewServerContext(server, k)
	if err != nil {
		t.Fatal(err)
	}
	cx, err := tls.NewClientContext(&config.ClientTLS{SNI: "a.example", TLSParams: params}, k)
	if err != nil {
		t.Fatal(err)
	}
	return server, sx, cx
}

// secured dials every cluster at one address, with TLS if there is a context.
type secured struct {
	to      loop.Address
	context *tls.ClientContext
}

func (s *secured) Connect(w *loop.Worker, _ *config.WeightedName, _ *loop.Origin, _ *config.TCP, done func(tcp.Upstream, error)) func() {
	return (&dial.Dialer{}).Dial(w, dial.Target{Addr: s.to, TLS: s.context}, func(c loop.Conn, err error) {
		if err != nil {
			var e *dial.Error
			errors.As(err, &e)
			err = &tcp.Failure{Flag: tcp.ConnectFailed, Reason: e.Reason, Err: err}
		}
		done(tcp.Upstream{Conn: c}, err)
	}).Cancel
}

func TestTLSOnBothSides(t *testing.T) {
	k := newKeys(t)
	_, sx, cx := k.contexts(t)
	for seed := range uint64(60) {
		s := sim.New(seed)
		l := &log{}
		var server, client *talker
		s.Listen(backend, func(c loop.Conn) {
			tls.Server(c, sx, tls.Handshake{}, func(c loop.Conn, err error) {
				if err != nil {
					t.Error(err)
					return
				}
				server = talk(s.Rand(), c, s.Rand().IntN(400000))
			})
		})
		c, proxied := s.Pipe()
		s.At(0, func() {
			tls.Client(c, cx, tls.Handshake{}, func(c loop.Conn, err error) {
				if err != nil {
					t.Error(err)
					return
				}
				client = talk(s.Rand(), c, s.Rand().IntN(400000))
			})
			tls.Server(proxied, sx, tls.Handshake{}, func(c loop.Conn, err error) {
				if err != nil {
					t.Error(err)
					return
				}
				new(tcp.Sessions).Serve(c, one("b"), &secured{backend, cx}, l, nil)
			})
		})
		if !s.RunUntil(30*time.Minute, func() bool {
			return client != nil && client.closed > 0 && server != nil && server.closed > 0 && l.closed > 0
		}) {
			t.Fatalf("seed %d: not closed", seed)
		}
		if !bytes.Equal(client.got, server.send) || !bytes.Equal(server.got, client.send) || client.err != nil || server.err != nil {
			t.Fatalf("seed %d: %d/%d %d/%d, %v %v", seed, len(client.got), len(server.send), len(server.got), len(client.send), client.err, server.err)
		}
		if l.last.Received != uint64(len(client.send)) || l.last.Sent != uint64(len(server.send)) {
			t.Fatalf("seed %d: %+v", seed, l.last)
		}
		s.Run(time.Minute)
		if w := s.Worker(); w.BufferBytes() != 0 || w.Load() != 0 {
			t.Fatalf("seed %d: %d bytes, %d connections left", seed, w.BufferBytes(), w.Load())
		}
	}
}

// echoServer is a plain or TLS server of the standard library.
func echoServer(t *testing.T, c *gotls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if c != nil {
		l = gotls.NewListener(l, c)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if _, err := io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}); err != nil {
					t.Error(err)
				}
			}()
		}
	}()
	return l.Addr().String()
}

// TestWholeWorkersOnTheKernel proxies plain and TLS clients to plain and TLS servers of the standard library.
func TestWholeWorkersOnTheKernel(t *testing.T) {
	k := newKeys(t)
	serverTLS, _, cx := k.contexts(t)
	both := &gotls.Config{Certificates: []gotls.Certificate{k.pair}, RootCAs: k.pool, ClientCAs: k.pool, ClientAuth: gotls.RequireAndVerifyClientCert, ServerName: "a.example"}
	for name, c := range map[string]struct{ in, out bool }{"plain-plain": {}, "tls-plain": {in: true}, "plain-tls": {out: true}, "tls-tls": {true, true}} {
		t.Run(name, func(t *testing.T) {
			up := &secured{}
			if c.out {
				up.context = cx
				up.to = loop.TCP(netip.MustParseAddrPort(echoServer(t, both)))
			} else {
				up.to = loop.TCP(netip.MustParseAddrPort(echoServer(t, nil)))
			}
			chain := &config.Chain{TCP: one("b")}
			if c.in {
				chain.TLS = serverTLS
			}
			set := accept.NewSet(accept.SetOptions{Workers: runWorkers(t, 2), Secrets: k, Gate: tls.NewGate(2)}, accept.Hooks{
				Serve: func(c loop.Conn, _ *config.Listener, chain *config.Chain) {
					new(tcp.Sessions).Serve(c, chain.TCP, up, nil, nil)
				},
			})
			l := &config.Listener{Name: "l", Address: netip.MustParseAddrPort("127.0.0.1:0"), Bind: true, Default: chain}
			if err := set.Apply([]*config.Listener{l}); err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			for i := range 6 {
				all.Go(func() {
					conn, err := net.Dial("tcp", set.Open()[0].Address)
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
					_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
					if c.in {
						conn = gotls.Client(conn, both)
					}
					want := bytes.Repeat([]byte{byte(i), 1, 2, 3, 5, 8, 13}, 1+i*200000)
					go func() {
						if _, err := conn.Write(want); err != nil {
							t.Error(err)
						}
						if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
							t.Error(err)
						}
					}()
					if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, want) {
						t.Errorf("%d of %d bytes, %v", len(got), len(want), err)
					}
				})
			}
			all.Wait()
		})
	}
}

func runWorkers(t *testing.T, n int) (all []*loop.Worker) {
	t.Helper()
	var running sync.WaitGroup
	for i := range n {
		w, err := loop.NewKernel(loop.Settings{Index: i, Seed: uint64(i)})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
		running.Go(func() {
			if err := w.Run(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		for _, w := range all {
			w.Stop()
		}
		running.Wait()
	})
	return all
}
