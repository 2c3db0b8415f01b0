package udp

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// table is a Table that only remembers. Clients send to the aliases themselves.
type table struct {
	mu      sync.Mutex
	aliases map[netip.AddrPort]netip.Addr
	refuse  error
	changes int
}

func (b *table) Lead(destinations []netip.AddrPort, ready func(map[netip.AddrPort]netip.Addr)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changes++
	next := map[netip.AddrPort]netip.Addr{}
	taken := slices.Collect(maps.Values(b.aliases))
	for _, at := range destinations {
		alias, has := b.aliases[at]
		for alias = alias.Unmap(); !has; {
			if alias = netip.AddrFrom4([4]byte{127, 68, 0, byte(len(taken) + 1)}); !slices.Contains(taken, alias) {
				has, taken = true, append(taken, alias)
			}
		}
		next[at] = alias
	}
	ready(next)
	if b.refuse == nil {
		b.aliases = next
	}
	return b.refuse
}

func (b *table) alias(at string) netip.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.aliases[netip.MustParseAddrPort(at)]
}

// entrance takes in captured datagrams.
func entrance(at netip.AddrPort) *config.Listener {
	l := listener("in", at, "nowhere")
	l.UseOriginalDst, l.Datagrams.Stat = true, "in"
	return l
}

// led is the listener of a destination.
func led(at, cluster string) *config.Listener {
	l := listener(at, netip.MustParseAddrPort(at), cluster)
	l.Bind, l.Datagrams.Stat = false, cluster
	return l
}

// servers are Upstreams with an endpoint for each cluster.
type servers struct {
	mu   sync.Mutex
	to   map[string]netip.AddrPort
	open map[string]int
}

func (f *servers) Begin(cluster string, _ netip.AddrPort, _ bool) (Endpoint, Verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	to, ok := f.to[cluster]
	if !ok {
		return Endpoint{}, NoEndpoint
	}
	f.open[cluster]++
	return Endpoint{Address: to, Usable: func() bool { return true }, Release: func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.open[cluster]--
	}}, Begun
}

func (f *servers) sessions(cluster string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open[cluster]
}

// naming answers every datagram with a name.
func naming(t *testing.T, name string) netip.AddrPort {
	c := packets(t, "udp4", "127.0.0.1:0")
	go func() {
		b := make([]byte, 2000)
		for {
			_, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			c.WriteToUDPAddrPort([]byte(name), from)
		}
	}()
	return addressOf(c)
}

// capturing is a running set with a table.
type capturing struct {
	*Set
	t     *testing.T
	table *table
	up    *servers
	at    netip.AddrPort // of the entrance
	mu    sync.Mutex
	ended []Ended
}

func newCapturing(t *testing.T, workers int) *capturing {
	c := &capturing{t: t, table: &table{}, up: &servers{to: map[string]netip.AddrPort{"a": naming(t, "a"), "b": naming(t, "b")}, open: map[string]int{}}, at: free(t, "udp4", "0.0.0.0:0")}
	s, _ := newSet(t, workers, netip.AddrPort{})
	o := s.options
	for i := range o.Upstreams {
		o.Upstreams[i] = c.up
	}
	o.Table = c.table
	o.Log = func(_ int, e *Ended) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ended = append(c.ended, *e)
	}
	c.Set = NewSet(o)
	var running sync.WaitGroup
	for _, w := range o.Workers {
		running.Go(func() { w.Run() })
	}
	t.Cleanup(func() {
		c.Close()
		for _, w := range o.Workers {
			w.Stop()
		}
		running.Wait()
	})
	return c
}

func (c *capturing) apply(ls ...*config.Listener) {
	c.t.Helper()
	if err := c.Apply(append([]*config.Listener{entrance(c.at)}, ls...)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *capturing) until(what string, done func() bool) {
	c.t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// TestOneSocketManyDestinations: a client's socket has a session for each destination, and each answers from the alias that was asked.
func TestOneSocketManyDestinations(t *testing.T) {
	c := newCapturing(t, 2)
	c.apply(led("10.0.0.1:53", "a"), led("10.0.0.2:53", "b"), led("10.0.0.3:53", "nobody"))
	for range 3 {
		client := packets(t, "udp4", "127.0.0.1:0")
		b := make([]byte, 10)
		ask := func(alias netip.Addr) string {
			to := netip.AddrPortFrom(alias, c.at.Port())
			for range 50 { // until the workers know
				must(client.WriteToUDPAddrPort([]byte("x"), to))
				client.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
				if n, from, err := client.ReadFromUDPAddrPort(b); err == nil {
					if from != to {
						return "answered by " + from.String()
					}
					return string(b[:n])
				}
				if alias == c.table.alias("10.0.0.3:53") || alias.As4() == [4]byte{127, 0, 0, 1} {
					break
				}
			}
			return "no answer"
		}
		for range 2 {
			for at, want := range map[string]string{"10.0.0.1:53": "a", "10.0.0.2:53": "b", "10.0.0.3:53": "no answer"} {
				if got := ask(c.table.alias(at)); got != want {
					t.Errorf("%s: %s, want %s", at, got, want)
				}
			}
		}
		if got := ask(netip.MustParseAddr("127.0.0.1")); got != "no answer" {
			t.Errorf("who asks the port itself: %s", got)
		}
	}
	if a, b := c.up.sessions("a"), c.up.sessions("b"); a != 3 || b != 3 {
		t.Errorf("%d and %d sessions, want 3 and 3", a, b)
	}
}

// TestDestinationsComeAndGo: sessions of a destination go on while others change, and end with their own; what cannot be captured changes nothing.
func TestDestinationsComeAndGo(t *testing.T) {
	c := newCapturing(t, 1)
	client := packets(t, "udp4", "127.0.0.1:0")
	asks := func(at, want string) {
		t.Helper()
		b := make([]byte, 10)
		c.until(at+" is answered by "+want, func() bool {
			must(client.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(c.table.alias(at), c.at.Port())))
			client.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			n, _, err := client.ReadFromUDPAddrPort(b)
			return err == nil && string(b[:n]) == want
		})
	}
	logged := led("10.0.0.1:53", "a")
	logged.Datagrams.AccessLogs = []config.AccessLog{{}}
	c.apply(logged)
	asks("10.0.0.1:53", "a")
	source := c.up.sessions("a")
	c.apply(led("10.0.0.2:53", "b"), logged)
	asks("10.0.0.2:53", "b")
	asks("10.0.0.1:53", "a")
	relogged := led("10.0.0.1:53", "a")
	relogged.Datagrams.AccessLogs = []config.AccessLog{{}, {}}
	c.apply(relogged, led("10.0.0.2:53", "b"))
	if now := c.up.sessions("a"); now != source || len(c.ended) > 0 {
		t.Errorf("%d sessions, and %v ended", now, c.ended)
	}
	c.table.refuse = errors.New("no memory")
	if err := c.Apply([]*config.Listener{entrance(c.at), led("10.0.0.1:53", "b")}); err == nil || err.Error() != "listener in: no memory" {
		t.Errorf("%v", err)
	}
	c.table.refuse = nil
	c.until("the session is over", func() bool { return c.up.sessions("a") == 0 }) // as the other destination would have had it
	asks("10.0.0.1:53", "a")
	asks("10.0.0.2:53", "b")
	c.apply(led("10.0.0.1:53", "b"))
	c.until("the sessions of what is gone or goes elsewhere are over", func() bool { return c.up.sessions("a") == 0 && c.up.sessions("b") == 0 })
	asks("10.0.0.1:53", "b")
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.ended; len(e) != 2 || e[0].Local.String() != "10.0.0.1:53" || e[0].Client != addressOf(client) || e[0].Received == 0 || e[0].Sent == 0 || e[0].Cluster != "a" ||
		e[0].Endpoint != c.up.to["a"] || !e[0].Source.IsValid() || len(e[1].Logs) != 2 {
		t.Errorf("%+v", e)
	}
}

// TestTheListenersOfCapture: without a table, without an entrance, and with two for one destination.
func TestTheListenersOfCapture(t *testing.T) {
	c := newCapturing(t, 1)
	if err := c.Apply([]*config.Listener{led("10.0.0.1:53", "a")}); err != nil || c.table.aliases != nil {
		t.Errorf("nothing takes them in: %v, %v", err, c.table.aliases)
	}
	if err := c.Apply([]*config.Listener{entrance(c.at), led("10.0.0.1:53", "a"), led("10.0.0.1:53", "b")}); err == nil || !strings.Contains(err.Error(), "is taken by listener 10.0.0.1:53") {
		t.Errorf("%v", err)
	}
	one := led("10.0.0.1:53", "a")
	c.apply(one)
	before := c.table.changes
	c.apply(one, listener("another", free(t, "udp4", "127.0.0.1:0"), "a"))
	if c.table.changes != before {
		t.Error("the kernel is told although nothing has changed")
	}
	if err := c.Apply(nil); err != nil || len(c.table.aliases) != 0 || len(c.Open()) != 0 {
		t.Errorf("%v, %v, %v", err, c.table.aliases, c.Open())
	}
	c.options.Table = nil
	if err := c.Apply([]*config.Listener{entrance(c.at)}); err == nil || !strings.Contains(err.Error(), "--capture-udp") || len(c.Open()) != 0 {
		t.Errorf("%v, %v", err, c.Open())
	}
}

// TestCapturedDatagramsAllocateNothing once their session has begun.
func TestCapturedDatagramsAllocateNothing(t *testing.T) {
	server := packets(t, "udp4", "127.0.0.1:0")
	s, _ := newSet(t, 1, addressOf(server))
	o, err := s.listen(free(t, "udp4", "0.0.0.0:0"), entrance(netip.AddrPort{}))
	if err != nil {
		t.Fatal(err)
	}
	p := o.ports[0]
	defer p.close()
	l := led("10.0.0.1:53", "c")
	p.lead(map[netip.Addr]destination{netip.MustParseAddr("127.68.0.1"): {l.Address, l.Datagrams}})
	client := packets(t, "udp4", "127.0.0.1:0")
	to := netip.AddrPortFrom(netip.MustParseAddr("127.68.0.1"), portOf(t, p))
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
		if n, from, err := client.ReadFromUDPAddrPort(b); err != nil || string(b[:n]) != "answer" || from != to {
			t.Fatalf("%q from %s, %v", b[:n], from, err)
		}
	}
	round()
	for _, x := range p.sessions {
		if x.course.at != l.Address {
			t.Fatalf("the session is of %s", x.course.at)
		}
	}
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations for each question and answer", n)
	}
	short := *l.Datagrams
	short.FromClients = len("question") - 1
	p.lead(map[netip.Addr]destination{netip.MustParseAddr("127.68.0.1"): {l.Address, &short}})
	must(client.WriteToUDPAddrPort([]byte("question"), to))
	must(client.WriteToUDPAddrPort([]byte("quest"), to))
	p.OnReady(loop.Readable)
	if n, _, err := server.ReadFromUDPAddrPort(b); err != nil || string(b[:n]) != "quest" {
		t.Errorf("%q, %v; the other one is longer than its listener takes", b[:n], err)
	}
}
