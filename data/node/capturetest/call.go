package capturetest

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/node/netns"
)

// How a call is made.
const (
	TCP       = ""
	Mapped    = "mapped"    // an IPv6 socket that calls an IPv4 address
	Multipath = "multipath" // Multipath TCP, or TCP where it is refused
	FastOpen  = "fast open" // data with the first packet
	Connected = "udp"       // a datagram from a connected socket
	Datagram  = "datagram"  // one from a socket that is not
)

// Call is one call of the client's, and the word that must answer it.
type Call struct {
	How  string
	To   string
	Mark int // SO_MARK
	UID  int
	GID  int
	// Want is a word of the table's programs; "captured" stands for "captured for To". "refused" is a refusal, "unreachable" that there is no way.
	Want string
}

// wait bounds a call.
var wait = unix.Timeval{Sec: 5}

// Make makes the call in a namespace and gives the answer, or what is wrong with the addresses that the caller sees.
func (c Call) Make(t testing.TB, ns *netns.Namespace) (answer string) {
	t.Helper()
	ok(t, ns.Do(func() (err error) {
		// A socket belongs to the users of the thread that makes it; the thread ends with Do.
		if c.GID != 0 {
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(c.GID), uintptr(c.GID), uintptr(c.GID)); errno != 0 {
				return errno
			}
		}
		if c.UID != 0 {
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(c.UID), uintptr(c.UID), uintptr(c.UID)); errno != 0 {
				return errno
			}
		}
		answer, err = c.make()
		switch {
		case errors.Is(err, unix.ECONNREFUSED):
			answer = "refused"
		case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EADDRNOTAVAIL):
			answer = "unreachable"
		case err != nil:
			answer = err.Error()
		}
		return nil
	}))
	return answer
}

func (c Call) make() (string, error) {
	to := netip.MustParseAddrPort(c.To)
	fd, err := c.socket(to.Addr().Is4() && c.How != Mapped)
	if err != nil {
		return "", err
	}
	defer func() { _ = unix.Close(fd) }()
	target := c.sockaddr(to)
	if c.How == Datagram {
		return askOnce(fd, target, to)
	}
	if c.How == FastOpen {
		err = unix.Sendto(fd, []byte("x"), unix.MSG_FASTOPEN, target)
	} else {
		err = unix.Connect(fd, target)
	}
	if err != nil {
		return "", err
	}
	peer, err := unix.Getpeername(fd)
	if err != nil {
		return "", err
	}
	if got := addrPort(peer); got != to {
		return "the peer is said to be " + got.String(), nil
	}
	if c.How == Connected {
		if _, err := unix.Write(fd, []byte("?")); err != nil {
			return "", err
		}
		return answerFrom(fd, to)
	}
	own, err := unix.Getsockname(fd)
	if err != nil {
		return "", err
	}
	if got := addrPort(own).Addr(); !to.Addr().IsLoopback() && !slices.Contains([]string{"10.78.0.2", "172.30.0.2", "fd78::2"}, got.String()) {
		return "the caller is said to be " + got.String(), nil
	}
	var all []byte
	b := make([]byte, 512)
	for {
		n, err := unix.Read(fd, b)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 {
			return string(all), err
		}
		all = append(all, b[:n]...)
	}
}

func (c Call) socket(v4 bool) (fd int, err error) {
	family, kind, protocol := unix.AF_INET6, unix.SOCK_STREAM, 0
	if v4 {
		family = unix.AF_INET
	}
	switch c.How {
	case Connected, Datagram:
		kind = unix.SOCK_DGRAM
	case Multipath:
		protocol = unix.IPPROTO_MPTCP
	}
	fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
	if errors.Is(err, unix.EPROTONOSUPPORT) && protocol != 0 {
		fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		return 0, err
	}
	err = errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait))
	if c.Mark != 0 {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, c.Mark))
	}
	return fd, err
}

func (c Call) sockaddr(to netip.AddrPort) unix.Sockaddr {
	if to.Addr().Is4() && c.How != Mapped {
		return &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
}

func askOnce(fd int, target unix.Sockaddr, to netip.AddrPort) (string, error) {
	if err := unix.Sendto(fd, []byte("?"), 0, target); err != nil {
		return "", err
	}
	return answerFrom(fd, to)
}

// answerFrom takes a datagram and looks at its sender, as resolvers do.
func answerFrom(fd int, to netip.AddrPort) (string, error) {
	b := make([]byte, 512)
	n, from, err := unix.Recvfrom(fd, b, 0)
	if err != nil {
		return "", err
	}
	if got := addrPort(from); got != to {
		return "answered by " + got.String(), nil
	}
	return string(b[:n]), nil
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// Dial connects from a namespace, as a program does.
func Dial(ns *netns.Namespace, to string) (c *net.TCPConn, err error) {
	err = ns.Do(func() error {
		conn, err := net.Dial("tcp", to)
		if err == nil {
			c = conn.(*net.TCPConn)
		}
		return err
	})
	return c, err
}
