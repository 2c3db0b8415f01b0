// Package lab gives tests network namespaces with echo servers in them, and clients that call from inside one.
//
// In: a testing.TB. Out: namespaces on one bridge, made by this process and gone with it. A Lab belongs to one test.
package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/heddle-mesh/heddle/data/node/netns"
	"github.com/heddle-mesh/heddle/internal/spawn"
)

// Lab is a bridge with namespaces on it.
type Lab struct {
	t      testing.TB
	fabric *netns.Namespace
	ports  atomic.Int32
	thread *spawn.Thread
	home   *netns.Namespace
}

var (
	gateway4 = netip.MustParsePrefix("10.78.0.1/16")
	gateway6 = netip.MustParsePrefix("fd78:6864::1/64")
)

// New makes the bridge; tests that need one are skipped without root.
func New(t testing.TB) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	fabric, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fabric.Close() })
	if err := fabric.Bridge("lab0", gateway4, gateway6); err != nil {
		t.Fatal(err)
	}
	home, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	return &Lab{t: t, fabric: fabric, thread: spawn.NewThread(), home: home}
}

// Host is a namespace with addresses.
type Host struct {
	lab       *Lab
	ns        *netns.Namespace
	Addresses []netip.Addr
}

// Host makes a namespace; an address N stands for 10.78.x.y and fd78:6864::N in one.
func (l *Lab) Host(numbers ...uint16) *Host {
	l.t.Helper()
	ns, err := netns.New()
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = ns.Close() })
	h := &Host{lab: l, ns: ns}
	var prefixes []netip.Prefix
	for _, n := range numbers {
		four, six := IP(n)
		h.Addresses = append(h.Addresses, four, six)
		prefixes = append(prefixes, netip.PrefixFrom(four, 16), netip.PrefixFrom(six, 64))
	}
	port := fmt.Sprintf("p%d", l.ports.Add(1))
	if err := ns.Wire(l.fabric, "lab0", port, prefixes, []netip.Addr{gateway4.Addr(), gateway6.Addr()}); err != nil {
		l.t.Fatal(err)
	}
	return h
}

// IP gives the two addresses of a number.
func IP(n uint16) (netip.Addr, netip.Addr) {
	four, six := gateway4.Addr().As4(), gateway6.Addr().As16()
	four[2], four[3] = byte(n>>8), byte(n)
	six[14], six[15] = byte(n>>8), byte(n)
	return netip.AddrFrom4(four), netip.AddrFrom16(six)
}

// Listen opens a socket in the namespace.
func (h *Host) Listen(network, address string) net.Listener {
	h.lab.t.Helper()
	var l net.Listener
	err := h.ns.Do(func() (err error) {
		l, err = net.Listen(network, address)
		return err
	})
	if err != nil {
		h.lab.t.Fatal(err)
	}
	h.lab.t.Cleanup(func() { l.Close() })
	return l
}

// Dial connects from inside the namespace. Only addresses, no names: see Resolve.
func (h *Host) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = h.ns.Do(func() error {
		var d net.Dialer
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// ListenPacket opens a datagram socket in the namespace.
func (h *Host) ListenPacket(network, address string) (c net.PacketConn, err error) {
	err = h.ns.Do(func() error {
		c, err = net.ListenPacket(network, address)
		return err
	})
	return c, err
}

// Start runs a program in the namespace; it is killed when the test ends.
func (h *Host) Start(cmd *exec.Cmd) {
	h.lab.t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	err := h.lab.thread.Do(func() error {
		if err := h.ns.Enter(); err != nil {
			return err
		}
		defer func() { _ = h.lab.home.Enter() }()
		return cmd.Start()
	})
	if err != nil {
		h.lab.t.Fatal(err)
	}
	h.lab.t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait() // it was killed
	})
}
