package accept_test

import (
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
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/accept"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/handover"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
)

// workers runs n workers on the kernel for the length of a test.
func workers(t testing.TB, n int) (all []*loop.Worker) {
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

// echo writes back with back-pressure.
type echo struct{ c loop.Conn }

func (e *echo) OnData(p []byte) int {
	e.c.Write(p)
	if e.c.Buffered() > loop.HighWatermark {
		e.c.PauseRead()
	}
	return len(p)
}
func (e *echo) OnEOF()        { e.c.CloseWrite() }
func (e *echo) OnWritable()   { e.c.ResumeRead() }
func (e *echo) OnClose(error) {}

func echoing(seen func(loop.Conn)) accept.Hooks {
	return accept.Hooks{Serve: func(c loop.Conn, _ *config.Listener, _ *config.Chain) {
		if seen != nil {
			seen(c)
		}
		c.SetHandler(&echo{c})
	}}
}

func listener(name, at string, secure bool) *config.Listener {
	c := &config.Chain{Name: "c"}
	if secure {
		c.TLS = &config.ServerTLS{RequireClientCertificate: true, TLSParams: config.TLSParams{Certificates: []config.SecretRef{{Name: "x"}}, Roots: &config.SecretRef{Name: "x"}, ALPN: []string{"h2", "http/1.1"}}}
	}
	return &config.Listener{Name: name, Address: netip.MustParseAddrPort(at), Bind: true, Default: c}
}

// exchange sends n bytes and expects them back, then the end.
func exchange(t *testing.T, c net.Conn, n int) {
	t.Helper()
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	want := make([]byte, n)
	for i := range want {
		want[i] = byte(i * 7 >> 3)
	}
	go func() {
		if _, err := c.Write(want); err != nil {
			t.Error(err)
		}
		if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Error(err)
		}
	}()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != string(want) {
		t.Errorf("%d of %d bytes came back, %v", len(got), n, err)
	}
}

func TestEchoThroughListeners(t *testing.T) {
	k := newKeys(t)
	var mu sync.Mutex
	indices := map[int]int{}
	set := accept.NewSet(accept.SetOptions{Workers: workers(t, 2), Secrets: k, Gate: tls.NewGate(2)}, echoing(func(c loop.Conn) {
		mu.Lock()
		indices[c.Worker().Index()]++
		mu.Unlock()
	}))
	if err := set.Apply([]*config.Listener{listener("plain", "127.0.0.1:0", false)}); err != nil {
		t.Fatal(err)
	}
	plain := set.Open()[0].Address
	if err := set.Apply([]*config.Listener{listener("plain", "127.0.0.1:0", false), listener("v6", "[::1]:0", true)}); err != nil {
		t.Fatal(err)
	}
	secure := ""
	for _, s := range set.Open() {
		if s.Name == "v6" {
			secure = s.Address
		}
	}
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			c, err := net.Dial("tcp", plain)
			if err != nil {
				t.Error(err)
				return
			}
			exchange(t, c, 1000+i*300000)
		})
		all.Go(func() {
			c, err := gotls.Dial("tcp", secure, &gotls.Config{ServerName: "a.example", RootCAs: k.pool, Certificates: []gotls.Certificate{k.pair}, NextProtos: []string{"spoken by nobody"}})
			if err != nil {
				t.Error(err)
				return
			}
			exchange(t, c, 1000+i*200000)
		})
	}
	all.Wait()
	mu.Lock()
	if indices[0] == 0 || indices[1] == 0 {
		t.Errorf("connections per worker: %v", indices)
	}
	mu.Unlock()
}

func TestOpenSSLClient(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("needs the openssl command")
	}
	k := newKeys(t)
	set := accept.NewSet(accept.SetOptions{Workers: workers(t, 1), Secrets: k}, echoing(nil))
	l := listener("l", "127.0.0.1:0", true)
	l.Default.TLS.RequireClientCertificate = false
	if err := set.Apply([]*config.Listener{l}); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		cmd := exec.Command(openssl, "s_client", "-quiet", "-no_ign_eof", "-connect", set.Open()[0].Address, version, "-alpn", "h2")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(in, "hello from openssl\n"); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		n, _ := out.Read(buf)
		_ = in.Close()
		_ = cmd.Wait()
		if !strings.Contains(string(buf[:n]), "hello from openssl") {
			t.Errorf("%s: got %q", version, buf[:n])
		}
	}
}

func TestApplyIsAllOrNothingAndNamesTheAddress(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	set := accept.NewSet(accept.SetOptions{Workers: workers(t, 1), Secrets: newKeys(t)}, echoing(nil))
	if err := set.Apply([]*config.Listener{listener("good", "127.0.0.1:0", false)}); err != nil {
		t.Fatal(err)
	}
	err = set.Apply([]*config.Listener{listener("new", "[::1]:0", false), listener("bad", busy.Addr().String(), false)})
	if err == nil || err.Error() != "listener bad: listen on "+busy.Addr().String()+": address already in use" {
		t.Fatal(err)
	}
	if open := set.Open(); len(open) != 1 || open[0].Name != "good" {
		t.Fatalf("%+v", open)
	}
}

func TestDrainRefusesNewAndKeepsOld(t *testing.T) {
	set := accept.NewSet(accept.SetOptions{Workers: workers(t, 2), Secrets: newKeys(t)}, echoing(nil))
	if err := set.Apply([]*config.Listener{listener("l", "127.0.0.1:0", false)}); err != nil {
		t.Fatal(err)
	}
	at := set.Open()[0].Address
	// Connected but not accepted yet, perhaps: draining must not reset it.
	var conns []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	done := make(chan bool)
	set.Drain(nil, func() { close(done) })
	<-done
	if c, err := net.Dial("tcp", at); err == nil {
		c.Close()
		t.Error("a drained listener takes connections")
	}
	for _, c := range conns {
		exchange(t, c, 5000)
	}
	if err := set.Apply(nil); !errors.Is(err, accept.ErrDraining) {
		t.Error(err)
	}
}

func TestConnectionLimit(t *testing.T) {
	set := accept.NewSet(accept.SetOptions{Workers: workers(t, 1), Secrets: newKeys(t)}, echoing(nil))
	l := listener("l", "127.0.0.1:0", false)
	l.MaxConnections = 2
	if err := set.Apply([]*config.Listener{l}); err != nil {
		t.Fatal(err)
	}
	at := set.Open()[0].Address
	dial := func() net.Conn {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		return c
	}
	works := func(c net.Conn) bool {
		_, _ = c.Write([]byte("x"))
		_, err := c.Read(make([]byte, 1))
		return err == nil
	}
	a, b := dial(), dial()
	defer b.Close()
	if !works(a) || !works(b) {
		t.Fatal("connections within the limit do not work")
	}
	over := dial()
	if works(over) {
		t.Fatal("a connection above the limit works")
	}
	over.Close()
	a.Close()
	for range 500 {
		if set.Open()[0].Counts.Open < 2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	again := dial()
	defer again.Close()
	if !works(again) {
		t.Fatalf("the limit is not given back: %+v", set.Open()[0].Counts)
	}
	// A new limit holds for the socket that is open.
	more := listener("l", "127.0.0.1:0", false)
	more.MaxConnections = 3
	if err := set.Apply([]*config.Listener{more}); err != nil {
		t.Fatal(err)
	}
	third := dial()
	defer third.Close()
	if !works(third) || set.Open()[0].Address != at {
		t.Fatal("the new limit does not hold")
	}
	more.Transparent = true
	if err := set.Apply([]*config.Listener{more}); err == nil || !strings.Contains(err.Error(), "listener l: listen on 127.0.0.1:0: transparent cannot change") {
		t.Fatal(err)
	}
}

// TestKeptSockets: what a set opens is held by the supervisor; a set that leaves gives the connections that wait to the next one, one that drains closes for all.
func TestKeptSockets(t *testing.T) {
	keeper := &handover.Keeper{}
	t.Cleanup(keeper.Close)
	run := func() (*accept.Set, *handover.Client) {
		session, theirs, err := keeper.Session()
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Dup(int(theirs.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		_ = theirs.Close()
		client, err := handover.Connect(fd)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		_ = session
		return accept.NewSet(accept.SetOptions{Workers: workers(t, 2), Secrets: newKeys(t), Kept: client}, echoing(nil)), client
	}
	path := filepath.Join(t.TempDir(), "x.sock")
	all := []*config.Listener{listener("a", "127.0.0.1:0", false), {Name: "b", Path: path, Bind: true, Default: &config.Chain{}}}
	first, one := run()
	if err := errors.Join(first.Apply(all), one.Ready()); err != nil {
		t.Fatal(err)
	}
	at := first.Open()
	left := make(chan struct{})
	first.Leave(func() { close(left) })
	<-left
	var waiting []net.Conn
	for _, x := range at {
		network := "tcp"
		if x.Address == path {
			network = "unix"
		}
		for range 20 {
			c, err := net.Dial(network, x.Address)
			if err != nil {
				t.Fatal(err)
			}
			waiting = append(waiting, c)
		}
	}
	second, two := run()
	if err := errors.Join(second.Apply(all), two.Ready()); err != nil {
		t.Fatal(err)
	}
	for _, c := range waiting {
		exchange(t, c, 1000)
	}
	if now := second.Open(); now[0].Address != at[0].Address || now[1].Address != at[1].Address {
		t.Errorf("%v, before %v", now, at)
	}
	drained := make(chan struct{})
	second.Drain(nil, func() { close(drained) })
	<-drained
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		t.Error("a drained socket takes connections")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a drained socket leaves its file behind")
	}
}

func TestInheritWantsAListener(t *testing.T) {
	if _, err := accept.Inherit(0); err == nil {
		t.Error("stdin was taken for a listener")
	}
}
