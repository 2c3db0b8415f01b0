package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/xds/nds"
)

var table = nds.Table{
	"reviews.shop.svc.cluster.local": {IPs: []string{"10.0.0.1", "fd00::1"}, Registry: nds.Kubernetes, Shortname: "reviews", Namespace: "shop"},
	"orders.back.svc.cluster.local":  {IPs: []string{"10.0.0.2"}, Registry: nds.Kubernetes, Shortname: "orders", Namespace: "back"},
	"*.example.com":                  {IPs: []string{"240.240.0.1"}, Registry: nds.External},
	"api.example.com":                {IPs: []string{"240.240.0.2"}, Registry: nds.External},
	"robin.shop.svc.cluster.local":   {IPs: []string{"10.0.0.9"}, Registry: nds.External},
	"orders.back":                    {IPs: []string{"240.240.0.3"}, Registry: nds.External},
}

var zone = Zone{Namespace: "shop", Domain: "svc.cluster.local", Search: []string{"shop.svc.cluster.local"}, Authoritative: true}

func TestLookupRules(t *testing.T) {
	l := NewLookup(table, zone)
	for _, c := range []struct {
		name, v4, v6, alias string
		found               bool
	}{
		{"reviews.shop.svc.cluster.local.", "10.0.0.1", "fd00::1", "", true},
		{"Reviews.Shop.SVC.cluster.local", "10.0.0.1", "fd00::1", "", true},
		{"reviews.shop.svc", "10.0.0.1", "fd00::1", "", true},
		{"reviews.shop", "10.0.0.1", "fd00::1", "", true},
		{"reviews", "10.0.0.1", "fd00::1", "", true},
		{"orders", "", "", "", false},
		{"robin", "10.0.0.9", "", "", true},
		{"robin.shop.svc", "10.0.0.9", "", "", true},
		{"orders.back.svc", "10.0.0.2", "", "", true},
		{"orders.back", "240.240.0.3", "", "", true}, // written out, so it wins over the service's short form
		{"api.example.com", "240.240.0.2", "", "", true},
		{"a.b.example.com", "240.240.0.1", "", "", true},
		{"example.com", "", "", "", false},
		{"api.example.com.shop.svc.cluster.local.", "240.240.0.2", "", "api.example.com.", true},
		{"reviews.shop.shop.svc.cluster.local.", "10.0.0.1", "fd00::1", "reviews.shop.", true},
		{"nothing.shop.svc.cluster.local", "", "", "", false},
		{"", "", "", "", false},
	} {
		for v6, want := range map[bool]string{false: c.v4, true: c.v6} {
			r := l.Find(c.name, v6)
			got := ""
			if len(r.Addresses) > 0 {
				got = r.Addresses[0].String()
			}
			if r.Found != c.found || got != want || r.Alias != c.alias {
				t.Errorf("%q v6=%v: %+v, want %+v", c.name, v6, r, c)
			}
		}
	}
}

// What a proxy dials itself is not captured, so an address that was made up for a service leads it nowhere: such names are the outside's.
func TestDialableLookup(t *testing.T) {
	z := zone
	z.Dialable = true
	l := NewLookup(table, z)
	for name, want := range map[string]string{
		"reviews.shop": "10.0.0.1", "api.example.com": "", "a.b.example.com": "", "orders.back.svc": "10.0.0.2",
	} {
		r := l.Find(name, false)
		if got := fmt.Sprint(r.Addresses); r.Found != (want != "") || r.Found && got != "["+want+"]" {
			t.Errorf("%s: %+v, want %q", name, r, want)
		}
	}
}

func start(t *testing.T, up *Upstream) (*Server, string) {
	t.Helper()
	s := New(zone, up, stats.New(), slog.New(slog.DiscardHandler))
	s.SetTable(table)
	t.Cleanup(s.Close)
	a, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return s, a.String()
}

func direct(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}

// resolver asks the server at an address with Go's own client.
func resolver(network, at string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, n, _ string) (net.Conn, error) {
		if network != "" {
			n = network
		}
		return direct(ctx, n, at)
	}}
}

func TestServerOverBothTransports(t *testing.T) {
	_, outside := start(t, &Upstream{}) // plays the host's name server
	_, at := start(t, &Upstream{Servers: []string{outside}, Dial: direct, Timeout: time.Second})
	for _, network := range []string{"udp", "tcp"} {
		r := resolver(network, at)
		got, err := r.LookupNetIP(t.Context(), "ip", "reviews.shop.svc.cluster.local.")
		if err != nil || len(got) != 2 || !slices.Contains(got, netip.MustParseAddr("fd00::1")) {
			t.Errorf("%s: %v, %v", network, got, err)
		}
		var notFound *net.DNSError
		if _, err := r.LookupNetIP(t.Context(), "ip", "nothing.shop.svc.cluster.local."); !errors.As(err, &notFound) || !notFound.IsNotFound {
			t.Errorf("%s: a name of the mesh that does not exist: %v", network, err)
		}
	}
}

// TestQuestionsWaitForTheFirstTable: a proxy that has just come up knows no name yet, which is not to say that there is none.
func TestQuestionsWaitForTheFirstTable(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		s := New(zone, &Upstream{}, stats.New(), slog.New(slog.DiscardHandler))
		t.Cleanup(s.Close)
		a, err := s.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		answered := make(chan error, 1)
		go func() {
			got, err := resolver(network, a.String()).LookupNetIP(t.Context(), "ip4", "reviews.shop.svc.cluster.local.")
			if err == nil && (len(got) != 1 || got[0] != netip.MustParseAddr("10.0.0.1")) {
				err = fmt.Errorf("addresses %v", got)
			}
			answered <- err
		}()
		select {
		case err := <-answered:
			t.Fatalf("%s: answered without a table: %v", network, err)
		case <-time.After(50 * time.Millisecond):
		}
		s.SetTable(table)
		if err := <-answered; err != nil {
			t.Errorf("%s: %v", network, err)
		}
	}
	// When the time is up they are answered with what is known.
	s := New(zone, &Upstream{}, stats.New(), slog.New(slog.DiscardHandler))
	t.Cleanup(s.Close)
	a, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.begin()
	var notFound *net.DNSError
	if _, err := resolver("udp", a.String()).LookupNetIP(t.Context(), "ip4", "reviews.shop.svc.cluster.local."); !errors.As(err, &notFound) || !notFound.IsNotFound {
		t.Errorf("without a table: %v", err)
	}
}

// TestQuestionsOutliveAServer: with a socket of somebody else's, what was asked while no server ran is answered by the next one.
func TestQuestionsOutliveAServer(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("udp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(ask("reviews.shop.svc.cluster.local.", dnsmessage.TypeA)); err != nil {
		t.Fatal(err)
	}
	s := New(zone, &Upstream{}, stats.New(), slog.New(slog.DiscardHandler))
	s.SetTable(table)
	t.Cleanup(s.Close)
	ln, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(ln, pc)
	answer := make([]byte, 512)
	n, err := c.Read(answer)
	var m dnsmessage.Message
	if err != nil || m.Unpack(answer[:n]) != nil || len(m.Answers) != 1 {
		t.Errorf("%v, %v", m, err)
	}
}

func TestUnknownNamesAreForwarded(t *testing.T) {
	outer, outside := start(t, &Upstream{})
	outer.SetTable(nds.Table{"www.outside.test": {IPs: []string{"192.0.2.7"}}})
	for _, tcpOnly := range []bool{false, true} {
		_, at := start(t, &Upstream{Servers: []string{"127.0.0.1:1", outside}, Dial: direct, Timeout: time.Second, TCPOnly: tcpOnly})
		got, err := resolver("", at).LookupNetIP(t.Context(), "ip4", "www.outside.test.")
		if err != nil || len(got) != 1 || got[0] != netip.MustParseAddr("192.0.2.7") {
			t.Errorf("tcpOnly=%v: %v, %v", tcpOnly, got, err)
		}
	}
}

func TestManyAddressesAreTruncatedOverUDP(t *testing.T) {
	s, at := start(t, &Upstream{})
	var ips []string
	for i := range 200 {
		ips = append(ips, "10.1.0."+strconv.Itoa(i))
	}
	s.SetTable(nds.Table{"many.test": {IPs: ips}})
	got, err := resolver("", at).LookupNetIP(t.Context(), "ip4", "many.test.") // Go's client goes on over TCP by itself
	if err != nil || len(got) != 200 {
		t.Errorf("%d addresses, %v", len(got), err)
	}
}

func ask(name string, typ dnsmessage.Type) []byte {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true}, Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: typ, Class: dnsmessage.ClassINET}}}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func TestBrokenMessages(t *testing.T) {
	s, _ := start(t, &Upstream{})
	two := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("a."), Type: 1, Class: 1}, {Name: dnsmessage.MustNewName("b."), Type: 1, Class: 1}}}
	b, _ := two.Pack()
	answer, forward := s.answer(b, false)
	var m dnsmessage.Message
	if err := m.Unpack(answer); err != nil || forward || m.RCode != dnsmessage.RCodeFormatError {
		t.Errorf("two questions: %v, %v", m.RCode, err)
	}
	response := ask("x.", dnsmessage.TypeA)
	response[2] |= 0x80
	if answer, forward := s.answer(response, false); answer != nil || forward {
		t.Error("a response was answered: two servers would talk for ever")
	}
	if _, forward := s.answer(ask("reviews.shop.", dnsmessage.TypeTXT), false); !forward {
		t.Error("a type that we do not have was not forwarded")
	}
	answer, _ = s.answer(ask("reviews.shop.svc.cluster.local.", dnsmessage.TypeTXT), false)
	if err := m.Unpack(answer); err != nil || m.RCode != dnsmessage.RCodeSuccess || len(m.Answers) != 0 {
		t.Errorf("TXT of a mesh name: %v, %v", m, err)
	}
}

func FuzzAnswer(f *testing.F) {
	s := New(zone, &Upstream{}, stats.New(), slog.New(slog.DiscardHandler))
	s.SetTable(table)
	f.Add(ask("reviews.shop.svc.cluster.local.", dnsmessage.TypeA), false)
	f.Add(ask("api.example.com.shop.svc.cluster.local.", dnsmessage.TypeAAAA), true)
	f.Add([]byte{0, 1, 2, 3}, false)
	f.Fuzz(func(t *testing.T, raw []byte, stream bool) {
		answer, forward := s.answer(raw, stream)
		if forward && answer != nil {
			t.Fatal("answered and forwarded")
		}
		if answer == nil {
			return
		}
		var p dnsmessage.Parser
		h, err := p.Start(answer)
		if err != nil || !h.Response || h.ID != uint16(raw[0])<<8|uint16(raw[1]) {
			t.Fatalf("%x: answer %x: %v", raw, answer, err)
		}
		if !stream && len(answer) > maxUDP {
			t.Fatalf("%d bytes over UDP", len(answer))
		}
	})
}
