package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/handover"
)

// listen opens a socket of the proxy's own pages or names, at HOST:PORT or at the path of a unix socket; the supervisor's is taken if it holds one.
func (s *Server) listen(network, address string) (net.Listener, error) {
	if l, ok, err := held(s.opts.Kept, network, address, net.FileListener); ok || err != nil {
		return l, err
	}
	if network == "unix" {
		if err := removeStale(address); err != nil {
			return nil, err
		}
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		err = os.Chmod(address, 0o600)
	}
	if err = errors.Join(err, s.have(network, address, l)); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// listenPacket is listen for UDP.
func (s *Server) listenPacket(address string) (net.PacketConn, error) {
	if pc, ok, err := held(s.opts.Kept, "udp", address, net.FilePacketConn); ok || err != nil {
		return pc, err
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	pc, err := lc.ListenPacket(context.Background(), "udp", address)
	if err != nil {
		return nil, err
	}
	if err := s.have("udp", address, pc); err != nil {
		_ = pc.Close() // nothing is lost with it
		return nil, err
	}
	return pc, nil
}

// held takes a socket over from the supervisor, if it holds one.
func held[T any](from *handover.Client, network, address string, open func(*os.File) (T, error)) (out T, ok bool, err error) {
	f, err := from.Take(handover.Key(network, address))
	if f == nil || err != nil {
		return out, false, err
	}
	defer func() { _ = f.Close() }() // the socket has a copy
	if out, err = open(f); err != nil {
		return out, false, fmt.Errorf("take over the socket %s: %w", address, err)
	}
	keepPath(out)
	return out, true, nil
}

// have lets the supervisor hold a socket that this process opened.
func (s *Server) have(network, address string, socket any) error {
	if s.opts.Kept == nil {
		return nil
	}
	raw, err := socket.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = s.opts.Kept.Keep(handover.Key(network, address), int(fd)) })
	keepPath(socket)
	return errors.Join(err, failed)
}

// keepPath leaves the file of a unix socket behind when it is closed here: others serve it.
func keepPath(socket any) {
	if u, ok := socket.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
}

// removeStale removes the socket that a killed proxy left behind, and only such a one.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSocket == 0 {
		return errors.New("there is a file that is no socket")
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return errors.New("another proxy serves it")
	}
	return os.Remove(path)
}
