package accept_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/accept"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// TestNoListenerIsMultipath, even for a client who would like it: a sockmap refuses such sockets.
func TestNoListenerIsMultipath(t *testing.T) {
	protocol := func(fd int) int {
		n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
		check(t, err)
		return n
	}
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		s, err := accept.Bind(loop.TCP(netip.MustParseAddrPort(at)), accept.BindOptions{})
		check(t, err)
		defer s.Close()
		var d net.Dialer
		d.SetMultipathTCP(true)
		c, err := d.Dial("tcp", s.Address().String())
		check(t, err)
		defer c.Close()
		fd, _, err := unix.Accept4(s.FD(), unix.SOCK_CLOEXEC)
		check(t, err)
		defer unix.Close(fd)
		if protocol(s.FD()) != unix.IPPROTO_TCP || protocol(fd) != unix.IPPROTO_TCP {
			t.Errorf("%s: listens with protocol %d, took one of protocol %d", at, protocol(s.FD()), protocol(fd))
		}
	}

	var many net.ListenConfig
	many.SetMultipathTCP(true)
	l, err := many.Listen(t.Context(), "tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	check(t, err)
	defer file.Close()
	if protocol(int(file.Fd())) != unix.IPPROTO_MPTCP {
		t.Skip("the kernel has no Multipath TCP")
	}
	if _, err := accept.Inherit(int(file.Fd())); err == nil || !strings.Contains(err.Error(), "Multipath") {
		t.Errorf("a listener of Multipath TCP was inherited: %v", err)
	}
}
