package capture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ErrUncaptured says that a namespace is not captured although it should be.
var ErrUncaptured = errors.New("this pod is not captured: nothing leads its traffic to the proxy; the node agent was not there when it started, and the pod must be made anew")

// Verify looks from inside, without any right and before the proxy runs, whether what this namespace sends to the outside gets to the proxy's port. The caller must be none
// of the proxy's users. Where nothing is captured on its way out there is nothing to look at.
func Verify(s Spec, patience time.Duration) error {
	out := cmp.Or(s.OutboundPort, OutboundPort)
	var all error
	looked := false
	for _, loopback := range []string{"127.0.0.1", "::1"} {
		v6 := loopback == "::1"
		to, ok := probe(s, v6)
		if !ok || v6 && !speaks6() {
			continue
		}
		looked = true
		all = errors.Join(all, arrives(net.JoinHostPort(loopback, strconv.Itoa(int(out))), to.String(), patience))
	}
	if looked && all != nil {
		return all
	}
	return nil
}

// probe is an address that would be captured; there is none when the Spec captures nothing of the family.
func probe(s Spec, v6 bool) (netip.AddrPort, bool) {
	if s.NoOutbound {
		return netip.AddrPort{}, false
	}
	// Addresses for documentation (RFC 5737, RFC 3849): nobody is there.
	to := netip.MustParseAddr("192.0.2.1")
	if v6 {
		to = netip.MustParseAddr("2001:db8::1")
	}
	port := uint16(80)
	if s.OnlyOutbound && len(s.IncludeOutboundPorts) > 0 {
		port = s.IncludeOutboundPorts[0]
	} else if s.OnlyOutbound {
		i := slices.IndexFunc(s.IncludeOutbound, func(p netip.Prefix) bool { return p.Addr().Is6() == v6 })
		if i < 0 {
			return netip.AddrPort{}, false
		}
		p := s.IncludeOutbound[i].Masked()
		if to = p.Addr(); p.Bits() < to.BitLen() {
			to = to.Next()
		}
	}
	for slices.Contains(s.ExcludeOutboundPorts, port) && !s.OnlyOutbound {
		port++
	}
	excluded := slices.Contains(s.ExcludeOutboundPorts, port) || slices.ContainsFunc(s.ExcludeOutbound, func(p netip.Prefix) bool { return p.Contains(to) })
	return netip.AddrPortFrom(to, port), !excluded
}

// speaks6 says whether the namespace has an IPv6 address that others know.
func speaks6() bool {
	all, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(all, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.To4() == nil && n.IP.IsGlobalUnicast() && !n.IP.Equal(net.ParseIP("::6"))
	})
}

// arrives says whether a connection to an address gets to a listener in the proxy's place.
func arrives(at, to string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(ctx, "tcp", at)
	if err != nil {
		return fmt.Errorf("listen in the proxy's place: %w", err)
	}
	defer func() { _ = l.Close() }()
	arrived := make(chan struct{})
	go func() {
		if c, err := l.Accept(); err == nil {
			_ = c.Close()
			close(arrived)
			cancel()
		}
	}()
	d := net.Dialer{}
	d.SetMultipathTCP(false)
	c, err := d.DialContext(ctx, "tcp", to)
	if err == nil {
		_ = c.Close()
	}
	if errors.Is(err, unix.ENETUNREACH) {
		return nil // without a route nothing leaves, captured or not
	}
	<-ctx.Done()
	select {
	case <-arrived:
		return nil
	default:
		return ErrUncaptured
	}
}
