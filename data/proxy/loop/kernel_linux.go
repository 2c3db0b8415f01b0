package loop

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Settings are the choices of a worker on the kernel.
type Settings struct {
	Index int
	// Spin is how long to poll before sleeping, 0 for not at all.
	Spin time.Duration
	Seed uint64
	// Goroutines bounds offloaded work that runs at once over all workers that share it; nil for no bound.
	Goroutines chan struct{}
}

// NewKernel makes a worker that lives on the kernel: epoll, sockets, the monotonic clock and goroutines.
func NewKernel(s Settings) (*Worker, error) {
	clock := monotonic{time.Now()}
	poller, err := newEpoll(clock, s.Spin)
	if err != nil {
		return nil, err
	}
	return New(Options{Index: s.Index, Poller: poller, Clock: clock, Connector: kernel{}, Offloader: goroutines{s.Goroutines}, Pipe: newPipe, Seed: s.Seed}), nil
}

type monotonic struct{ start time.Time }

// Now implements Clock. The first millisecond is 1, so that zero is "no time".
func (m monotonic) Now() Time { return Time(time.Since(m.start)) + wheelTick }

// Wall implements Clock.
func (m monotonic) Wall() time.Time { return time.Now() }

type goroutines struct{ bound chan struct{} }

// Offload implements Offloader.
func (g goroutines) Offload(work func() any, finish func(any)) {
	go func() {
		if g.bound != nil {
			g.bound <- struct{}{}
			defer func() { <-g.bound }()
		}
		finish(work())
	}()
}

// Inline implements Offloader.
func (g goroutines) Inline() bool { return false }

// fdSocket is a stream socket of the kernel.
type fdSocket struct{ fd int }

// NewSocket takes over a non-blocking stream socket, TCP or unix.
func NewSocket(fd int) Socket { return &fdSocket{fd: fd} }

// FD is the descriptor.
func (s *fdSocket) FD() int { return s.fd }

// Read implements Socket. recvfrom and sendto spare the kernel the layer of files, which read and write pass.
func (s *fdSocket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return 0, ErrAgain
		case errno != 0:
			return 0, errno
		case n == 0:
			return 0, io.EOF
		}
		return int(n), nil
	}
}

// Write implements Socket.
func (s *fdSocket) Write(p [][]byte) (int, error) {
	for {
		var n uintptr
		var errno unix.Errno
		if len(p) == 1 {
			n, _, errno = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(&p[0][0])), uintptr(len(p[0])), unix.MSG_NOSIGNAL, 0, 0)
		} else {
			k := min(len(p), maxIOV)
			var iov [maxIOV]unix.Iovec
			for i, b := range p[:k] {
				iov[i].Base = &b[0]
				iov[i].SetLen(len(b))
			}
			n, _, errno = unix.RawSyscall(unix.SYS_WRITEV, uintptr(s.fd), uintptr(unsafe.Pointer(&iov[0])), uintptr(k))
		}
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return 0, ErrAgain
		case errno != 0:
			return 0, errno
		}
		return int(n), nil
	}
}

// CloseWrite implements Socket.
func (s *fdSocket) CloseWrite() error {
	if err := unix.Shutdown(s.fd, unix.SHUT_WR); err != nil && !errors.Is(err, unix.ENOTCONN) {
		return err
	}
	return nil
}

// Reset implements Socket.
func (s *fdSocket) Reset() {
	_ = unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // without it the close is only gentler
}

// Err implements Socket.
func (s *fdSocket) Err() error {
	n, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if n != 0 {
		return unix.Errno(n)
	}
	return nil
}

// Local implements Socket.
func (s *fdSocket) Local() Address {
	sa, err := unix.Getsockname(s.fd)
	if err != nil {
		return Address{}
	}
	return FromSockaddr(sa)
}

// Close implements Socket.
func (s *fdSocket) Close() error { return unix.Close(s.fd) }

type kernel struct{}

// Connect implements Connector.
func (kernel) Connect(to Address, o ConnectOptions) (Socket, error) {
	sa, family := Sockaddr(to)
	if sa == nil {
		return nil, fmt.Errorf("connect: %q is no address", to.String())
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	if err := prepare(fd, family, to, o); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	for {
		switch err = unix.Connect(fd, sa); err {
		case unix.EINTR:
			continue
		case nil, unix.EINPROGRESS:
			return &fdSocket{fd: fd}, nil
		}
		_ = unix.Close(fd)
		return nil, err
	}
}

func prepare(fd, family int, to Address, o ConnectOptions) error {
	if o.Mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, o.Mark); err != nil {
			return fmt.Errorf("set SO_MARK %d: %w", o.Mark, err)
		}
	}
	if family != unix.AF_UNIX {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return fmt.Errorf("set TCP_NODELAY: %w", err)
		}
		if err := keepalive(fd, o); err != nil {
			return err
		}
		if isLoopback(to) || isLoopback(o.Bind) {
			Near(fd)
		}
	}
	if !o.Bind.IsZero() {
		sa, bound := Sockaddr(o.Bind)
		if bound != family {
			return fmt.Errorf("bind %s: another address family than the destination", o.Bind)
		}
		if o.Transparent {
			level, option := unix.SOL_IP, unix.IP_TRANSPARENT
			if family == unix.AF_INET6 {
				level, option = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
			}
			if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
				return fmt.Errorf("bind %s: set IP_TRANSPARENT: %w", o.Bind, err)
			}
		}
		if err := unix.Bind(fd, sa); err != nil {
			return fmt.Errorf("bind %s: %w", o.Bind, err)
		}
	}
	return nil
}

// Near tells the kernel that both ends of a connection are on this machine. There is nothing between them that congestion could be in, so that the cheapest control is the
// right one, whatever the machine's default: BBR, for one, sets a timer for what it sends, which costs more than a tenth of a small request.
func Near(fd int) {
	_ = unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, "reno") // always there and allowed to all; without it only time is lost
}

func isLoopback(a Address) bool { return !a.IsUnix() && a.Addr().IsLoopback() }

func keepalive(fd int, o ConnectOptions) error {
	if o.Keepalive <= 0 {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1); err != nil {
		return fmt.Errorf("set SO_KEEPALIVE: %w", err)
	}
	for _, set := range []struct{ option, value int }{
		{unix.TCP_KEEPIDLE, max(int(o.Keepalive/time.Second), 1)},
		{unix.TCP_KEEPINTVL, int(o.KeepaliveInterval / time.Second)},
		{unix.TCP_KEEPCNT, o.KeepaliveProbes},
	} {
		if set.value <= 0 {
			continue
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, set.option, set.value); err != nil {
			return fmt.Errorf("set TCP keepalive: %w", err)
		}
	}
	return nil
}

// Sockaddr is the kernel's form of an address with its family, nil for the zero address.
func Sockaddr(a Address) (unix.Sockaddr, int) {
	switch {
	case a.IsUnix():
		return &unix.SockaddrUnix{Name: a.Path}, unix.AF_UNIX
	case a.Addr().Is4() || a.Addr().Is4In6():
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().Unmap().As4()}, unix.AF_INET
	case a.Addr().Is6():
		sa := &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
		return sa, unix.AF_INET6
	}
	return nil, 0
}

// FromSockaddr is the address of the kernel's form; an IPv4-mapped IPv6 address becomes IPv4.
func FromSockaddr(sa unix.Sockaddr) Address {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return TCP(netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)))
	case *unix.SockaddrInet6:
		return TCP(netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)))
	case *unix.SockaddrUnix:
		return Unix(sa.Name)
	}
	return Address{}
}
