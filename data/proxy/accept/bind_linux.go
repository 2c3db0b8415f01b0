package accept

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

const backlog = 4096

// BindOptions are the settings of a new listening socket.
type BindOptions struct {
	// Transparent sets IP_TRANSPARENT, for TPROXY (needs CAP_NET_ADMIN).
	Transparent bool
	// V4Too lets an IPv6 wildcard socket take IPv4 connections as well (Envoy's ipv4_compat).
	V4Too bool
}

// Socket is a listening socket. Close may be called from any goroutine, more than once.
type Socket struct {
	fd      int
	address loop.Address
	v6      bool
	kept    string // what the supervisor holds it as; "" for nobody
	once    sync.Once
	err     error
}

// FD is the descriptor.
func (s *Socket) FD() int { return s.fd }

// Address is where the socket listens, with the port that the kernel chose for port 0.
func (s *Socket) Address() loop.Address { return s.address }

// Close implements loop.Descriptor.
func (s *Socket) Close() error {
	s.once.Do(func() {
		s.err = unix.Close(s.fd)
		if s.address.IsUnix() && s.address.Path[0] != '@' && s.kept == "" {
			s.err = errors.Join(s.err, unlink(s.address.Path))
		}
	})
	return s.err
}

func unlink(path string) error {
	if err := unix.Unlink(path); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove socket %s: %w", path, err)
	}
	return nil
}

// Bind opens a listening TCP or unix socket. MPTCP is off, since a sockmap refuses its sockets.
func Bind(a loop.Address, o BindOptions) (*Socket, error) {
	sa, family := loop.Sockaddr(a)
	if sa == nil {
		return nil, fmt.Errorf("listen on %q: not an address", a.String())
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", a, err)
	}
	err = configure(fd, family, o)
	if err == nil {
		err = unix.Bind(fd, sa)
	}
	if err == nil {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("listen on %s: %w", a, err)
	}
	return newSocket(fd, a)
}

func configure(fd, family int, o BindOptions) error {
	if family == unix.AF_UNIX {
		return nil
	}
	set := func(name string, level, option, value int) error {
		if err := unix.SetsockoptInt(fd, level, option, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
		return nil
	}
	err := set("SO_REUSEADDR", unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if family == unix.AF_INET6 {
		only := 1
		if o.V4Too {
			only = 0
		}
		err = errors.Join(err, set("IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only))
	}
	if o.Transparent {
		if family == unix.AF_INET6 {
			err = errors.Join(err, set("IPV6_TRANSPARENT", unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1))
		} else {
			err = errors.Join(err, set("IP_TRANSPARENT", unix.SOL_IP, unix.IP_TRANSPARENT, 1))
		}
	}
	return err
}

// Inherit takes over a listening descriptor that another process opened.
func Inherit(fd int) (*Socket, error) {
	listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return nil, fmt.Errorf("inherit listener fd %d: %w", fd, err)
	}
	if listening == 0 {
		return nil, fmt.Errorf("inherit listener fd %d: the socket does not listen", fd)
	}
	if protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL); err == nil && protocol == unix.IPPROTO_MPTCP {
		return nil, fmt.Errorf("inherit listener fd %d: its protocol is Multipath TCP; open it with plain TCP (in Go: net.ListenConfig.SetMultipathTCP(false))", fd)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("inherit listener fd %d: %w", fd, err)
	}
	unix.CloseOnExec(fd)
	return newSocket(fd, loop.Address{})
}

// inheritFile is Inherit for a file, which it takes.
func inheritFile(f *os.File) (*Socket, error) {
	defer func() { _ = f.Close() }() // the socket is a copy
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("inherit listener: %w", err)
	}
	own, failed := -1, error(nil)
	err = raw.Control(func(fd uintptr) { own, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3) })
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("inherit listener: %w", err)
	}
	s, err := Inherit(own)
	if err != nil {
		_ = unix.Close(own)
	}
	return s, err
}

func newSocket(fd int, fallback loop.Address) (*Socket, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("listen on %s: %w", fallback, err)
	}
	_, v6 := sa.(*unix.SockaddrInet6)
	return &Socket{fd: fd, address: loop.FromSockaddr(sa), v6: v6}, nil
}
