package udp

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// fixed is Upstreams with one endpoint.
type fixed struct {
	to   netip.AddrPort
	mu   sync.Mutex
	open int
	good bool
}

func (f *fixed) Begin(string, netip.AddrPort, bool) (Endpoint, Verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open++
	return Endpoint{Address: f.to, Usable: func() bool { return f.good }, Release: func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.open--
	}}, Begun
}

func (f *fixed) sessions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open
}

func packets(t *testing.T, network, at string) *net.UDPConn {
	t.Helper()
	a, err := net.ResolveUDPAddr(network, at)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.ListenUDP(network, a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func addressOf(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// free is an address that nobody listens on.
func free(t *testing.T, network, at string) netip.AddrPort {
	t.Helper()
	c := packets(t, network, at)
	defer c.Close()
	return addressOf(c)
}

func newSet(t *testing.T, workers int, to netip.AddrPort) (*Set, *fixed) {
	t.Helper()
	o := Options{Registry: stats.New()}
	f := &fixed{to: to, good: true}
	for i := range workers {
		w, err := loop.NewKernel(loop.Settings{Index: i, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		o.Workers, o.Shards, o.Upstreams = append(o.Workers, w), append(o.Shards, o.Registry.NewShard()), append(o.Upstreams, f)
	}
	return NewSet(o), f
}

func listener(name string, at netip.AddrPort, cluster string) *config.Listener {
	return &config.Listener{Name: name, Address: at, Bind: true, Datagrams: &config.Datagrams{Stat: "t", Cluster: cluster, IdleTimeout: time.Minute, FromClients: 1500, FromServers: 1500}}
}

// TestDatagramsAllocateNothing once their session has begun, in both directions, also where the address is chosen by a control message.
func TestDatagramsAllocateNothing(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		server := packets(t, "udp4", "127.0.0.1:0")
		s, _ := newSet(t, 1, addressOf(server))
		o, err := s.listen(free(t, "udp", at), listener("l", netip.AddrPort{}, "c"))
		if err != nil {
			t.Fatal(err)
		}
		p := o.ports[0]
		defer p.close()
		local := addressOf(packets(t, "udp", at)).Addr()
		host := "127.0.0.1"
		if local.Is6() {
			host = "::1"
		}
		client := packets(t, "udp", net.JoinHostPort(host, "0"))
		to := netip.AddrPortFrom(netip.MustParseAddr(host), portOf(t, p))
		b := make([]byte, 2000)
		round := func() {
			must(client.WriteToUDPAddrPort([]byte("question"), to))
			p.OnReady(loop.Readable)
			_, proxy, err := server.ReadFromUDPAddrPort(b)
			if err != nil {
				t.Fatal(err)
			}
			must(server.WriteToUDPAddrPort([]byte("answer"), proxy))
			for _, x := range p.sessions {
				x.OnReady(loop.Readable)
			}
			n, from, err := client.ReadFromUDPAddrPort(b)
			if err != nil || string(b[:n]) != "answer" || from.Port() != to.Port() {
				t.Fatalf("%q from %s, %v", b[:n], from, err)
			}
		}
		round()
		if n := testing.AllocsPerRun(100, round); n != 0 {
			t.Errorf("%s: %v allocations for each question and answer", at, n)
		}
	}
}

func must(_ int, err error) {
	if err != nil {
		panic(err)
	}
}

// portOf is the port that a socket has.
func portOf(t *testing.T, p *port) uint16 {
	t.Helper()
	sa, err := unix.Getsockname(p.socket.fd)
	if err != nil {
		t.Fatal(err)
	}
	return loop.FromSockaddr(sa).Port()
}

// TestListenersComeAndGo: what is new is served, what has changed begins anew, what is gone ends with its sessions; nothing changes when a listener cannot be had.
func TestListenersComeAndGo(t *testing.T) {
	server := packets(t, "udp4", "127.0.0.1:0")
	go func() {
		b := make([]byte, 2000)
		for {
			n, from, err := server.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			server.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	s, f := newSet(t, 2, addressOf(server))
	var running sync.WaitGroup
	for _, w := range s.options.Workers {
		running.Go(func() { w.Run() })
	}
	defer running.Wait()
	defer func() {
		for _, w := range s.options.Workers {
			w.Stop()
		}
	}()
	at, other := free(t, "udp4", "127.0.0.1:0"), free(t, "udp4", "127.0.0.1:0")
	client := packets(t, "udp4", "127.0.0.1:0")
	echoes := func(to netip.AddrPort) {
		t.Helper()
		b := make([]byte, 10)
		for end := time.Now().Add(10 * time.Second); ; {
			must(client.WriteToUDPAddrPort([]byte("x"), to))
			client.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if _, from, err := client.ReadFromUDPAddrPort(b); err == nil && from == to {
				return
			} else if time.Now().After(end) {
				t.Fatalf("no echo of %s: %v", to, err)
			}
		}
	}
	apply := func(ls ...*config.Listener) {
		t.Helper()
		if err := s.Apply(ls); err != nil {
			t.Fatal(err)
		}
	}
	until := func(n int) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); f.sessions() != n; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d sessions, want %d", f.sessions(), n)
			}
		}
	}
	one := listener("one", at, "c")
	apply(one)
	echoes(at)
	until(1)
	apply(one, listener("two", other, "c"))
	echoes(other)
	echoes(at)
	until(2)
	if err := s.Apply([]*config.Listener{one, listener("thief", at, "c")}); err == nil || !strings.Contains(err.Error(), "is taken by listener one") {
		t.Errorf("%v", err)
	}
	echoes(other)
	until(2)
	apply(listener("one", at, "d"))
	until(0)
	echoes(at)
	until(1)
	s.Close()
	until(0)
	if len(s.Open()) != 0 {
		t.Error(s.Open())
	}
}
