// Package capturetest proves a way of capture: one table of specs and calls that every way must answer alike, in real network namespaces.
//
// In: a Way. Out: failed tests. Programs answer calls with a word, and the proxy's stand-in says the original destination that the kernel told it.
package capturetest

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/node/netns"
)

// World is two workloads on a bridge and a further link between them, "docker0".
type World struct {
	Client, Server *netns.Namespace
}

// New makes a world that ends with the test. It skips the test where namespaces cannot be made.
func New(t testing.TB) *World {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	fabric, w := namespace(t), &World{Client: namespace(t), Server: namespace(t)}
	ok(t, fabric.Bridge("hd0", netip.MustParsePrefix("10.78.0.1/16"), netip.MustParsePrefix("fd78::1/64")))
	gateways := []netip.Addr{netip.MustParseAddr("10.78.0.1"), netip.MustParseAddr("fd78::1")}
	ok(t, w.Client.Wire(fabric, "hd0", "w1", []netip.Prefix{netip.MustParsePrefix("10.78.0.2/16"), netip.MustParsePrefix("fd78::2/64")}, gateways))
	ok(t, w.Server.Wire(fabric, "hd0", "w2", []netip.Prefix{netip.MustParsePrefix("10.78.0.3/16"), netip.MustParsePrefix("fd78::3/64")}, gateways))
	ok(t, w.Client.Do(func() error {
		a := netlink.NewLinkAttrs()
		a.Name = "docker0"
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: a, PeerName: "docker0", PeerNamespace: netlink.NsFd(w.Server.FD())})
	}))
	for _, end := range []struct {
		ns      *netns.Namespace
		address string
	}{{w.Client, "172.30.0.2/24"}, {w.Server, "172.30.0.3/24"}} {
		ok(t, end.ns.Do(func() error {
			l, err := netlink.LinkByName("docker0")
			if err != nil {
				return err
			}
			a, err := netlink.ParseAddr(end.address)
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(l, a); err != nil {
				return err
			}
			return netlink.LinkSetUp(l)
		}))
	}
	return w
}

// Alone is a further namespace, without a way to anywhere.
func (w *World) Alone(t testing.TB) *netns.Namespace { return namespace(t) }

func namespace(t testing.TB) *netns.Namespace {
	t.Helper()
	ns, err := netns.New()
	ok(t, err)
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

// Serve accepts on a port of a namespace, of both families, until the test ends.
func Serve(t testing.TB, ns *netns.Namespace, port int, serve func(*net.TCPConn)) {
	t.Helper()
	var l net.Listener
	ok(t, ns.Do(func() (err error) {
		var c net.ListenConfig
		c.SetMultipathTCP(false) // as every proxy of ours
		l, err = c.Listen(t.Context(), "tcp", "[::]:"+strconv.Itoa(port))
		return err
	}))
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c.(*net.TCPConn))
		}
	}()
}

// Greet answers connections to a port with a word.
func Greet(t testing.TB, ns *netns.Namespace, port int, word string) {
	t.Helper()
	Serve(t, ns, port, func(c *net.TCPConn) { say(c, word) })
}

// Proxy answers connections to a port with a word and their original destination.
func Proxy(t testing.TB, ns *netns.Namespace, port int, word string) {
	t.Helper()
	Serve(t, ns, port, func(c *net.TCPConn) { say(c, word+" "+Original(c)) })
}

func say(c *net.TCPConn, text string) {
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, text); err == nil && c.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, c)
	}
}

// Answer answers datagrams to an address with a word.
func Answer(t testing.TB, ns *netns.Namespace, address, word string) {
	t.Helper()
	var c net.PacketConn
	ok(t, ns.Do(func() (err error) {
		c, err = net.ListenPacket("udp", address)
		return err
	}))
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 512)
		for {
			_, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if _, err := c.WriteTo([]byte(word), from); err != nil {
				return
			}
		}
	}()
}

// Original is what the kernel says where a connection was going (SO_ORIGINAL_DST).
func Original(c *net.TCPConn) string {
	raw, err := c.SyscallConn()
	if err != nil {
		return err.Error()
	}
	text := ""
	err = raw.Control(func(fd uintptr) {
		if c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().Is4() {
			var sa unix.RawSockaddrInet4
			text = original(fd, unix.SOL_IP, unsafe.Pointer(&sa), unsafe.Sizeof(sa), func() netip.AddrPort {
				return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), sa.Port<<8|sa.Port>>8)
			})
			return
		}
		var sa unix.RawSockaddrInet6
		text = original(fd, unix.SOL_IPV6, unsafe.Pointer(&sa), unsafe.Sizeof(sa), func() netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), sa.Port<<8|sa.Port>>8)
		})
	})
	if err != nil {
		return err.Error()
	}
	return text
}

// original asks with room for size bytes. The number of the option is 80 in both families.
func original(fd uintptr, level int, value unsafe.Pointer, size uintptr, read func() netip.AddrPort) string {
	length := uint32(size)
	if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, uintptr(level), 80, uintptr(value), uintptr(unsafe.Pointer(&length)), 0); errno != 0 {
		return errno.Error()
	}
	if uintptr(length) != size {
		return fmt.Sprintf("an address of %d bytes", length)
	}
	return read().String()
}

// Prefix parses a range.
func Prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
