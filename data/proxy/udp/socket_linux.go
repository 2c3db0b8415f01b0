package udp

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// socket is a UDP socket. It implements loop.Descriptor for the kernel's poller.
type socket struct{ fd int }

// FD implements loop.FD.
func (s socket) FD() int { return s.fd }

// Close implements loop.Descriptor.
func (s socket) Close() error { return unix.Close(s.fd) }

func open(a netip.AddrPort) (socket, unix.Sockaddr, int, error) {
	sa, family := loop.Sockaddr(loop.TCP(a))
	if sa == nil {
		return socket{}, nil, 0, fmt.Errorf("%s is not an address", a)
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return socket{}, nil, 0, fmt.Errorf("open socket: %w", err)
	}
	return socket{fd}, sa, family, nil
}

// bind opens a socket for clients; others may have the address too. Where it stands for all addresses, the kernel says of each datagram where it was going. With free it
// may answer from addresses that are routed to this machine and that no interface has.
func bind(a netip.AddrPort, fourToo, free bool) (socket, error) {
	s, sa, family, err := open(a)
	if err != nil {
		return s, fmt.Errorf("listen on %s (UDP): %w", a, err)
	}
	set := func(level, option, value int) {
		if err == nil {
			err = unix.SetsockoptInt(s.fd, level, option, value)
		}
	}
	set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	if family == unix.AF_INET6 {
		only := 1
		if fourToo {
			only = 0
		}
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
	}
	if a.Addr().IsUnspecified() {
		if family == unix.AF_INET6 {
			set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
			if free {
				set(unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
			}
		} else {
			set(unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
	}
	if err == nil {
		err = unix.Bind(s.fd, sa)
	}
	if err != nil {
		_ = s.Close() // the failure to bind is the one to tell
		return s, fmt.Errorf("listen on %s (UDP): %w", a, err)
	}
	return s, nil
}

// connect opens a socket for one session towards an endpoint.
func connect(to netip.AddrPort, from netip.Addr, mark int) (socket, error) {
	s, sa, _, err := open(to)
	if err != nil {
		return s, err
	}
	if mark != 0 {
		err = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_MARK, mark)
	}
	if err == nil && from.IsValid() {
		own, _ := loop.Sockaddr(loop.TCP(netip.AddrPortFrom(from, 0)))
		err = unix.Bind(s.fd, own)
	}
	if err == nil {
		err = unix.Connect(s.fd, sa)
	}
	if err != nil {
		_ = s.Close() // the failure to connect is the one to tell
	}
	return s, err
}
