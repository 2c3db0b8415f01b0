package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// dialer dials with the mark of the proxy's own traffic.
type dialer struct{ mark int }

func (o *Options) dialer() dialer { return dialer{o.Mark} }

// DialContext dials TCP, UDP and unix sockets.
func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var nd net.Dialer
	nd.SetMultipathTCP(false)
	if d.mark != 0 && network != "unix" {
		nd.Control = func(_, _ string, c syscall.RawConn) (err error) {
			return errors.Join(c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, d.mark) }), err)
		}
	}
	return nd.DialContext(ctx, network, address)
}

// gRPC dials one target, in the form of Options. Of a socket gRPC's resolvers tell the path in forms that cannot be told apart, so it is taken from the target.
func (d dialer) gRPC(target string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		if path, ok := strings.CutPrefix(target, "unix:"); ok {
			return d.DialContext(ctx, "unix", path)
		}
		return d.DialContext(ctx, "tcp", address)
	}
}

// markable says whether this process, and so its Envoy, may set the mark.
func markable(mark int) error {
	if mark == 0 {
		return nil
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		return fmt.Errorf("run Envoy: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, mark); err != nil {
		return fmt.Errorf("run Envoy: set SO_MARK %d: %w; give the process CAP_NET_ADMIN, or run it as a user that capture leaves alone, without --mark", mark, err)
	}
	return nil
}

// noSuchAddress is the error of binding an address of a family that the machine has not.
func noSuchAddress(err error) bool {
	return errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT)
}
