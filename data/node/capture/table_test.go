package capture_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/data/node/netns"
)

// caller is who calls: a zero field is root's, or none.
type caller struct{ uid, gid, mark int }

// ask calls from a namespace and gives what it hears: a word, "refused" or "nobody".
func ask(t *testing.T, ns *netns.Namespace, target string, who caller) (answer string) {
	t.Helper()
	ok(t, ns.Do(func() error {
		d := net.Dialer{Timeout: 5 * time.Second, Control: func(_, _ string, c syscall.RawConn) (err error) {
			return errors.Join(c.Control(func(fd uintptr) {
				if who.mark != 0 {
					err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, who.mark)
				}
			}), err)
		}}
		// A socket belongs to the file system's user of the thread that makes it; the thread ends with the call.
		if _, err := unix.SetfsgidRetGid(who.gid); err != nil {
			return err
		}
		if _, err := unix.SetfsuidRetUid(who.uid); err != nil {
			return err
		}
		c, err := d.Dial("tcp", target)
		switch {
		case errors.Is(err, unix.ECONNREFUSED):
			answer = "refused"
			return nil
		case err != nil:
			answer = "nobody: " + err.Error()
			return nil
		}
		defer c.Close()
		b, err := io.ReadAll(c)
		answer = string(b)
		return err
	}))
	return answer
}

// transparently makes sockets as the proxy does for TPROXY.
func transparently(mark int) func(_, _ string, c syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) {
			level, name := unix.SOL_IP, unix.IP_TRANSPARENT
			if strings.HasSuffix(network, "6") {
				level, name = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
			}
			err = unix.SetsockoptInt(int(fd), level, name, 1)
			if err == nil && mark != 0 {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark)
			}
		}), err)
	}
}

// relay is a proxy in TPROXY mode: it takes what is handed to it, and calls what the client meant from the client's address.
func relay(t *testing.T, ns *netns.Namespace, network, address string) {
	t.Helper()
	ok(t, ns.Do(func() error {
		lc := net.ListenConfig{Control: transparently(0)}
		lc.SetMultipathTCP(false)
		l, err := lc.Listen(t.Context(), network, address)
		if err != nil {
			return err
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
					from := &net.TCPAddr{IP: c.RemoteAddr().(*net.TCPAddr).IP}
					var answer []byte
					err := ns.Do(func() error {
						d := net.Dialer{LocalAddr: from, Timeout: 5 * time.Second, Control: transparently(capture.ProxyMark)}
						app, err := d.Dial("tcp", c.LocalAddr().String())
						if err != nil {
							return err
						}
						defer app.Close()
						answer, err = io.ReadAll(app)
						return err
					})
					fmt.Fprintf(c, "relayed %s", answer)
					if err != nil {
						fmt.Fprintf(c, "(%v)", err)
					}
				}()
			}
		}()
		return nil
	}))
}

// TestTable asks, for each way of capture, both ways of interception and both families, what becomes of every kind of traffic.
func TestTable(t *testing.T) {
	for _, way := range capture.Ways {
		for _, transparent := range []bool{false, true} {
			for _, f := range []struct{ name, client, server, excluded, included, nobody, own string }{
				{"IPv4", "10.78.0.2", "10.78.0.3", "10.78.0.4", "10.78.0.5", "240.240.0.1", "127.0.0.1"},
				{"IPv6", "fd78::2", "fd78::3", "fd78::4", "fd78::5", "2001:db8::1", "::1"},
			} {
				t.Run(fmt.Sprintf("%s/transparent=%t/%s", way, transparent, f.name), func(t *testing.T) {
					client, server := twoNamespaces(t)
					more(t, server, "10.78.0.4/32", "10.78.0.5/32", "fd78::4/128", "fd78::5/128")
					bits := 32
					if f.name == "IPv6" {
						bits = 128
					}
					out := capture.Spec{ExcludeOutbound: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr(f.excluded), bits)}, ExcludeOutboundPorts: []uint16{25}, UIDs: []uint32{1337}, GIDs: []uint32{1338}}
					in := capture.Spec{ExcludeInboundPorts: []uint16{22, 80, 25, 443}, Transparent: transparent}
					apply(t, client, way, out)
					apply(t, server, way, in)
					greet(t, client, "[::]:15001", "captured")
					greet(t, client, "[::]:8080", "self")
					for _, p := range []string{"25", "80", "443", "22", "15021"} {
						greet(t, server, "[::]:"+p, "direct")
					}
					if transparent {
						relay(t, server, "tcp4", "0.0.0.0:15006")
						relay(t, server, "tcp6", "[::]:15006")
						tellPeer(t, server, "[::]:8080")
					} else {
						greet(t, server, "[::]:15006", "taken in")
					}
					taken := "taken in"
					if transparent {
						taken = "relayed to " + f.client
					}
					at := func(host, port string) string { return net.JoinHostPort(host, port) }
					for _, x := range []struct {
						what, target string
						who          caller
						want         string
					}{
						{"anything", at(f.server, "80"), caller{}, "captured"},
						{"an address that nobody has", at(f.nobody, "80"), caller{}, "captured"},
						{"another user", at(f.server, "80"), caller{uid: 1000, gid: 1000}, "captured"},
						{"the proxy's user", at(f.server, "80"), caller{uid: 1337}, "direct"},
						{"the proxy's group", at(f.server, "80"), caller{gid: 1338}, "direct"},
						{"the proxy's mark", at(f.server, "80"), caller{mark: capture.ProxyMark}, "direct"},
						{"an excluded port", at(f.server, "25"), caller{}, "direct"},
						{"an excluded range", at(f.excluded, "80"), caller{}, "direct"},
						{"loopback", at(f.own, "8080"), caller{}, "self"},
						{"its own address", at(f.client, "8080"), caller{}, "self"},
						{"what arrives", at(f.server, "8080"), caller{uid: 1337}, taken},
						{"what arrives at another address", at(f.excluded, "8080"), caller{}, taken},
						{"what arrives at an excluded port", at(f.server, "22"), caller{uid: 1337}, "direct"},
						{"what arrives at a port of the proxy", at(f.server, "15021"), caller{uid: 1337}, "direct"},
					} {
						if got := ask(t, client, x.target, x.who); got != x.want {
							t.Errorf("%s: %s answers %q, want %q", x.what, x.target, got, x.want)
						}
					}
					greet(t, client, "[::]:15021", "answered")
					if got := ask(t, server, at(f.client, "15021"), caller{uid: 1337}); got != "answered" {
						t.Errorf("what the server's proxy calls itself: %q", got)
					}
					if got := ask(t, server, at(f.server, "22"), caller{}); got != "direct" {
						t.Errorf("the server's own address, from itself: %q", got)
					}
					if !transparent {
						for _, x := range []struct {
							what, target string
							who          caller
							want         string
						}{
							{"the server's proxy calls its own pod", at(f.server, "8080"), caller{uid: 1337}, "taken in"},
							{"the same, known by its mark", at(f.server, "8080"), caller{mark: capture.ProxyMark}, "taken in"},
							{"at an excluded port", at(f.server, "22"), caller{uid: 1337}, "direct"},
							{"at a port of the proxy", at(f.server, "15021"), caller{uid: 1337}, "direct"},
							{"over loopback", at(f.own, "22"), caller{uid: 1337}, "direct"},
						} {
							if got := ask(t, server, x.target, x.who); got != x.want {
								t.Errorf("%s: %s answers %q, want %q", x.what, x.target, got, x.want)
							}
						}
					}

					// Nothing but what is included; an excluded interface; and the first rules are gone.
					apply(t, client, way, capture.Spec{OnlyOutbound: true, IncludeOutbound: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr(f.included), bits)}, IncludeOutboundPorts: []uint16{443}})
					for _, x := range []struct{ what, target, want string }{
						{"an included range", at(f.included, "80"), "captured"}, {"an included port", at(f.server, "443"), "captured"}, {"what is not included", at(f.server, "80"), "direct"},
					} {
						if got := ask(t, client, x.target, caller{}); got != x.want {
							t.Errorf("%s: %s answers %q, want %q", x.what, x.target, got, x.want)
						}
					}
					in.ExcludeInterfaces = []string{"eth0"}
					apply(t, client, way, capture.Spec{ExcludeInterfaces: []string{"eth0"}})
					apply(t, server, way, in)
					greet(t, server, "[::]:8090", "direct")
					for _, p := range []string{"80", "8090"} {
						if got := ask(t, client, at(f.server, p), caller{}); got != "direct" {
							t.Errorf("excluded interfaces: port %s answers %q", p, got)
						}
					}
					apply(t, client, way, capture.Spec{NoInbound: true, DNS: true})
					greet(t, client, "[::]:15053", "names")
					if got := ask(t, client, at(f.server, "53"), caller{}); got != "names" {
						t.Errorf("a question for a name by TCP: %q", got)
					}
					for _, ns := range []*netns.Namespace{client, server} {
						clean(t, ns, way)
					}
					if got := ask(t, client, at(f.server, "80"), caller{}); got != "direct" {
						t.Errorf("after removal: %q", got)
					}
				})
			}
		}
	}
}

func apply(t *testing.T, ns *netns.Namespace, way capture.Way, s capture.Spec) {
	t.Helper()
	ok(t, ns.Do(func() error { return way.Apply(s) }))
	ok(t, ns.Do(func() error {
		if there, err := way.Present(); err != nil || !there {
			return fmt.Errorf("%s says present=%t %w", way, there, err)
		}
		return nil
	}))
}

// clean removes twice: the second time there is nothing.
func clean(t *testing.T, ns *netns.Namespace, way capture.Way) {
	t.Helper()
	for range 2 {
		ok(t, ns.Do(way.Remove))
		ok(t, ns.Do(func() error {
			there, err := way.Present()
			if there {
				return errors.New("something of ours is left")
			}
			return err
		}))
	}
}

// tellPeer serves the address that it sees its client at.
func tellPeer(t *testing.T, ns *netns.Namespace, address string) {
	t.Helper()
	ok(t, ns.Do(func() error {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprintf(c, "to %s", netip.MustParseAddrPort(c.RemoteAddr().String()).Addr().Unmap())
				c.Close()
			}
		}()
		return nil
	}))
}

func more(t *testing.T, ns *netns.Namespace, addresses ...string) {
	t.Helper()
	var all []netip.Prefix
	for _, a := range addresses {
		all = append(all, netip.MustParsePrefix(a))
	}
	ok(t, ns.AddAddresses(all...))
}

// broken is a way that does not work here, and says so when asked to clean up, too.
type broken struct{ capture.NFTables }

func (broken) String() string           { return "broken" }
func (broken) Apply(capture.Spec) error { return errors.New("the kernel has none") }
func (broken) Remove() error            { return errors.New("the kernel has none") }

func TestTheFirstWayThatWorksIsTaken(t *testing.T) {
	client, _ := twoNamespaces(t)
	ok(t, client.Do(func() error {
		way, fell, err := capture.First([]capture.Way{broken{}, capture.IPTables{}, capture.NFTables{}}, capture.Spec{})
		if err != nil || way != (capture.IPTables{}) || fell.Error() != "broken does not work: the kernel has none" {
			return fmt.Errorf("%v, %w, %w", way, fell, err)
		}
		if err := capture.Clear([]capture.Way{broken{}, capture.IPTables{}}); err != nil {
			return err
		}
		if there, err := way.Present(); there || err != nil {
			return fmt.Errorf("left: %t %w", there, err)
		}
		if way, _, err := capture.First([]capture.Way{broken{}}, capture.Spec{}); way != nil || err == nil {
			return fmt.Errorf("%v, %w", way, err)
		}
		if err := capture.Clear([]capture.Way{broken{}}); err == nil {
			return errors.New("an error of every way is no error")
		}
		return nil
	}))
}

func TestVerify(t *testing.T) {
	client, _ := twoNamespaces(t)
	verify := func(s capture.Spec) (err error) {
		ok(t, client.Do(func() error { err = capture.Verify(s, 2*time.Second); return nil }))
		return err
	}
	nothing := capture.Spec{OnlyOutbound: true}
	some := capture.Spec{OnlyOutbound: true, IncludeOutbound: []netip.Prefix{netip.MustParsePrefix("10.90.0.0/16")}, ExcludeOutboundPorts: []uint16{9000}}
	if err := verify(capture.Spec{}); !errors.Is(err, capture.ErrUncaptured) {
		t.Errorf("nothing is captured: %v", err)
	}
	if err := verify(nothing); err != nil {
		t.Errorf("there is nothing to look at: %v", err)
	}
	for _, s := range []capture.Spec{{ExcludeOutboundPorts: []uint16{80, 81}}, some, {OnlyOutbound: true, IncludeOutboundPorts: []uint16{443}}} {
		ok(t, client.Do(func() error { return capture.NFTables{}.Apply(s) }))
		if err := verify(s); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	if err := verify(some); !errors.Is(err, capture.ErrUncaptured) {
		t.Errorf("only port 443 is captured: %v", err)
	}
}
