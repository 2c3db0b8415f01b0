package capturetest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/data/node/netns"
)

// known are the destinations of the table of datagrams; nobody has the addresses but the server, which has those of its own.
var known = []string{"10.96.0.1:53", "10.96.0.1:5000", "10.96.0.2:5000", "10.78.0.3:5000", "[fd00:96::1]:5000", "[fd00:96::2]:5000", "[fd78::3]:5000", "172.30.0.3:5000"}

func datagramTable() []row {
	return []row{
		{"everything", capture.Spec{Datagrams: true}, []Call{
			{How: Datagram, To: "10.96.0.1:5000", Want: "captured"}, {How: Connected, To: "10.96.0.1:5000", Want: "captured"}, {How: Datagram, To: "10.96.0.2:5000", Want: "captured"},
			{How: Datagram, To: "10.78.0.3:5000", Want: "captured"}, {How: Datagram, To: "[fd00:96::1]:5000", Want: "captured"}, {How: Connected, To: "[fd00:96::2]:5000", Want: "captured"},
			{How: Datagram, To: "[fd78::3]:5000", Want: "captured"}, {How: Datagram, To: "10.96.0.1:53", Want: "captured"},
			{How: Datagram, To: "10.78.0.3:5001", Want: direct}, {How: Connected, To: "[fd78::3]:5001", Want: direct}, {How: Datagram, To: "10.78.0.3:53", Want: direct},
			{To: "10.78.0.3:80", Want: "captured"},
		}},
		{"only datagrams", capture.Spec{Datagrams: true, NoOutbound: true, NoInbound: true}, []Call{
			{How: Datagram, To: "10.78.0.3:5000", Want: "captured"}, {How: Connected, To: "[fd78::3]:5000", Want: "captured"}, {To: "10.78.0.3:80", Want: direct},
		}},
		{"transparent", capture.Spec{Datagrams: true, Transparent: true}, []Call{
			{How: Datagram, To: "10.78.0.3:5000", Want: "captured"}, {How: Connected, To: "[fd78::3]:5000", Want: "captured"}, {How: Datagram, To: "10.78.0.3:5001", Want: direct},
		}},
		{"no datagrams", capture.Spec{}, []Call{{How: Datagram, To: "10.78.0.3:5000", Want: direct}, {How: Connected, To: "[fd78::3]:5000", Want: direct}}},
		{"the proxy's own", capture.Spec{Datagrams: true}, []Call{
			{How: Datagram, To: "10.78.0.3:5000", Mark: capture.ProxyMark, Want: direct}, {How: Connected, To: "[fd78::3]:5000", UID: capture.ProxyUID, Want: direct},
			{How: Datagram, To: "10.78.0.3:5000", Mark: 1, Want: "captured"}, {How: Datagram, To: "[fd78::3]:5000", UID: 1, Want: "captured"},
		}},
		{"another group", capture.Spec{Datagrams: true, GIDs: []uint32{65000}}, []Call{
			{How: Datagram, To: "10.78.0.3:5000", GID: 65000, Want: direct}, {How: Datagram, To: "10.78.0.3:5000", UID: capture.ProxyUID, Want: "captured"},
		}},
		{"names", capture.Spec{Datagrams: true, DNS: true}, []Call{{How: Datagram, To: "10.96.0.1:53", Want: "named"}, {How: Datagram, To: "10.96.0.1:5000", Want: "captured"}}},
		{"excluded", capture.Spec{Datagrams: true, ExcludeOutbound: prefixes("10.78.0.0/16", "fd78::/64")}, []Call{
			{How: Datagram, To: "10.78.0.3:5000", Want: direct}, {How: Connected, To: "[fd78::3]:5000", Want: direct}, {How: Datagram, To: "10.96.0.1:5000", Want: "captured"},
		}},
		{"excluded port", capture.Spec{Datagrams: true, ExcludeOutboundPorts: []uint16{5000}}, []Call{
			{How: Datagram, To: "10.78.0.3:5000", Want: direct}, {How: Connected, To: "[fd78::3]:5000", Want: direct}, {How: Datagram, To: "10.96.0.1:53", Want: "captured"},
		}},
		{"excluded interface", capture.Spec{Datagrams: true, ExcludeInterfaces: []string{"docker0"}}, []Call{
			{How: Datagram, To: "172.30.0.3:5000", Want: direct}, {How: Datagram, To: "10.78.0.3:5000", Want: "captured"},
		}},
		{"included range", capture.Spec{Datagrams: true, OnlyOutbound: true, IncludeOutbound: prefixes("10.96.0.0/16", "fd00:96::/64")}, []Call{
			{How: Datagram, To: "10.96.0.1:5000", Want: "captured"}, {How: Connected, To: "[fd00:96::1]:5000", Want: "captured"}, {How: Datagram, To: "10.78.0.3:5000", Want: direct},
			{How: Datagram, To: "[fd78::3]:5000", Want: direct},
		}},
		{"included port", capture.Spec{Datagrams: true, OnlyOutbound: true, IncludeOutboundPorts: []uint16{5000}, OutboundPort: 16001}, []Call{
			{How: Datagram, To: "10.78.0.3:5000", Want: "other"}, {How: Datagram, To: "[fd78::3]:5000", Want: "other"}, {How: Datagram, To: "10.78.0.3:5001", Want: direct},
		}},
		{"excluded in included", capture.Spec{Datagrams: true, OnlyOutbound: true, IncludeOutbound: prefixes("10.0.0.0/8"), ExcludeOutbound: prefixes("10.78.0.3/32")}, []Call{
			{How: Datagram, To: "10.78.0.3:5000", Want: direct}, {How: Datagram, To: "10.96.0.2:5000", Want: "captured"},
		}},
	}
}

// captured is a world whose client has a stand-in for its proxy, which keeps the table.
type captured struct {
	*World
	way     capture.Way
	aliases chan map[netip.Addr]netip.AddrPort // what the stand-in knows; whoever has it may change it
}

// lead puts destinations into the table, as the client's proxy does.
func (c *captured) lead(t *testing.T, destinations ...string) {
	t.Helper()
	var all []netip.AddrPort
	for _, d := range destinations {
		all = append(all, netip.MustParseAddrPort(d))
	}
	ok(t, c.Client.Do(func() error {
		return capture.Known{}.Lead(all, func(led map[netip.AddrPort]netip.Addr) {
			back := map[netip.Addr]netip.AddrPort{}
			for at, alias := range led {
				back[alias] = at
			}
			for alias, at := range <-c.aliases {
				if now, stays := led[at]; stays && now != alias {
					t.Errorf("the alias of %s was %s and is %s", at, alias, now)
				}
			}
			c.aliases <- back
		})
	}))
}

// Datagrams runs the table of what a workload sends in datagrams to destinations that its proxy knows, and to others.
func Datagrams(t *testing.T, way capture.Way) {
	c := &captured{World: New(t), way: way, aliases: make(chan map[netip.Addr]netip.AddrPort, 1)}
	c.aliases <- nil
	Greet(t, c.Server, 80, direct)
	for _, port := range []string{"53", "5000", "5001"} {
		Answer(t, c.Server, "[::]:"+port, direct)
	}
	Proxy(t, c.Client, capture.OutboundPort, "captured for")
	for _, ip := range []string{"127.0.0.1", "::1"} {
		Answer(t, c.Client, net.JoinHostPort(ip, "15053"), "named")
	}
	take(t, c.Client, capture.OutboundPort, "captured for", c.aliases)
	take(t, c.Client, 16001, "other for", c.aliases)
	for _, row := range datagramTable() {
		t.Run(row.name, func(t *testing.T) {
			apply(t, c.Client, way, row.spec)
			if row.spec.Datagrams {
				c.lead(t, known...)
			}
			for _, call := range row.calls {
				call.expect(t, c.Client)
			}
			apply(t, c.Client, way, row.spec) // what the proxy has said stays
			for _, call := range row.calls {
				call.expect(t, c.Client)
			}
			remove(t, c.Client, way)
			nothingLeft(t, c.Client)
			<-c.aliases
			c.aliases <- nil
			Call{How: Datagram, To: "10.78.0.3:5000", Want: direct}.expect(t, c.Client)
		})
	}
	t.Run("one socket", c.oneSocket)
	t.Run("flows follow", c.flowsFollow)
	t.Run("nothing is captured", c.nothing)
}

func (c *captured) oneSocket(t *testing.T) {
	apply(t, c.Client, c.way, capture.Spec{Datagrams: true})
	c.lead(t, known...)
	for _, at := range [][]string{{"10.96.0.1:5000", "10.96.0.2:5000", "10.78.0.3:5001", "10.78.0.3:5000"}, {"[fd00:96::1]:5000", "[fd78::3]:5001", "[fd00:96::2]:5000"}} {
		conversation(t, c.Client, at, map[string]string{"10.78.0.3:5001": direct, "[fd78::3]:5001": direct})
	}
	remove(t, c.Client, c.way)
}

// flowsFollow: a socket that has asked before goes where the table says now.
func (c *captured) flowsFollow(t *testing.T) {
	apply(t, c.Client, c.way, capture.Spec{Datagrams: true})
	for _, at := range []string{"10.78.0.3:5000", "[fd78::3]:5000"} {
		c.lead(t)
		socket := dialUDP(t, c.Client, at)
		for _, step := range []struct {
			known []string
			want  string
		}{{nil, direct}, {[]string{at}, "captured for " + at}, {known, "captured for " + at}, {[]string{"10.96.0.2:5000"}, direct}, {known, "captured for " + at}} {
			c.lead(t, step.known...)
			if got := askAgain(socket); got != step.want {
				t.Errorf("%s, known are %v: %q, want %q", at, step.known, got, step.want)
			}
		}
	}
	remove(t, c.Client, c.way)
	nothingLeft(t, c.Client)
}

func (c *captured) nothing(t *testing.T) {
	apply(t, c.Client, c.way, capture.Spec{})
	ok(t, c.Client.Do(func() error {
		for _, err := range []error{capture.Known{}.Check(), capture.Known{}.Lead(nil, nil)} {
			if !errors.Is(err, capture.ErrNoTable) {
				return fmt.Errorf("without a table: %w", err)
			}
		}
		return nil
	}))
	remove(t, c.Client, c.way)
}

// take answers captured datagrams that come to a port, from the alias that each came to.
func take(t testing.TB, ns *netns.Namespace, port int, word string, aliases chan map[netip.Addr]netip.AddrPort) {
	t.Helper()
	for _, four := range []bool{true, false} {
		family, level, info, size := unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, unix.CmsgSpace(unix.SizeofInet6Pktinfo)
		var at unix.Sockaddr = &unix.SockaddrInet6{Port: port}
		if four {
			family, level, info, size, at = unix.AF_INET, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.CmsgSpace(unix.SizeofInet4Pktinfo), &unix.SockaddrInet4{Port: port}
		}
		fd := -1
		ok(t, ns.Do(func() (err error) {
			fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err == nil && !four {
				err = errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1), unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1))
			}
			return errors.Join(err, unix.SetsockoptInt(fd, level, info, 1), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}), unix.Bind(fd, at))
		}))
		end, ended := make(chan struct{}), make(chan struct{})
		t.Cleanup(func() {
			close(end)
			<-ended
			_ = unix.Close(fd)
		})
		go func() {
			defer close(ended)
			b, oob := make([]byte, 512), make([]byte, size)
			for {
				select {
				case <-end:
					return
				default:
				}
				_, k, _, from, err := unix.Recvmsg(fd, b, oob, 0)
				if err != nil {
					continue
				}
				known := <-aliases
				aliases <- known
				at := known[localOf(oob[:k], four)]
				_ = unix.Sendmsg(fd, []byte(word+" "+at.String()), answerFor(oob[:k], four), from, 0) // who asked hears nothing then, and says so
			}
		}()
	}
}

// localOf is the address that a datagram came to.
func localOf(oob []byte, four bool) netip.Addr {
	data := oob[unix.CmsgLen(0):]
	if four {
		return netip.AddrFrom4([4]byte(data[8:12])) // struct in_pktinfo: interface, ours, the header's
	}
	return netip.AddrFrom16([16]byte(data[:16]))
}

// answerFor is the control message by which the answer comes from there.
func answerFor(oob []byte, four bool) []byte {
	out := append([]byte(nil), oob...)
	data := out[unix.CmsgLen(0):]
	if four {
		copy(data[4:8], data[8:12])
		copy(data[:4], make([]byte, 4))
	} else {
		copy(data[16:20], make([]byte, 4))
	}
	return out
}

// conversation asks several from one socket, all before the first answer is read, twice; everybody answers from where he was asked.
func conversation(t *testing.T, ns *netns.Namespace, at []string, others map[string]string) {
	t.Helper()
	var c net.PacketConn
	network := "udp4"
	if strings.HasPrefix(at[0], "[") {
		network = "udp6"
	}
	ok(t, ns.Do(func() (err error) {
		c, err = net.ListenPacket(network, "")
		return err
	}))
	defer func() { _ = c.Close() }()
	for range 2 {
		for _, a := range at {
			_, err := c.WriteTo([]byte("?"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(a)))
			ok(t, err)
		}
		got := map[string]string{}
		b := make([]byte, 512)
		for range at {
			ok(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
			n, from, err := c.ReadFrom(b)
			if err != nil {
				t.Fatalf("%v, after %v", err, got)
			}
			got[from.String()] = string(b[:n])
		}
		for _, a := range at {
			want := others[a]
			if want == "" {
				want = "captured for " + a
			}
			if got[a] != want {
				t.Errorf("%s answers %q, want %q", a, got[a], want)
			}
		}
	}
}

func dialUDP(t *testing.T, ns *netns.Namespace, at string) (c net.Conn) {
	t.Helper()
	ok(t, ns.Do(func() (err error) {
		c, err = net.Dial("udp", at)
		return err
	}))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// askAgain asks over a socket that has asked before.
func askAgain(c net.Conn) string {
	b := make([]byte, 512)
	if _, err := c.Write([]byte("?")); err != nil {
		return err.Error()
	}
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err.Error()
	}
	n, err := c.Read(b)
	if err != nil {
		return err.Error()
	}
	return string(b[:n])
}

// nothingLeft looks for routes and rules that do not belong to the namespace itself.
func nothingLeft(t *testing.T, ns *netns.Namespace) {
	t.Helper()
	ok(t, ns.Do(func() error {
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
			if err != nil {
				return err
			}
			for _, r := range routes {
				if r.Table == 133 || r.Dst != nil && strings.HasPrefix(r.Dst.String(), "fd68:") {
					return fmt.Errorf("a route is left: %v", r)
				}
			}
			rules, err := netlink.RuleList(family)
			if err != nil {
				return err
			}
			for _, r := range rules {
				if r.Mark != 0 {
					return fmt.Errorf("a rule is left: %v", r)
				}
			}
		}
		return nil
	}))
}
