package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
)

// Known is the table of destinations whose datagrams are captured, in the network namespace of the calling thread. The proxy keeps it: to each destination belongs an
// alias, an address that only this namespace reaches, so that the proxy can tell by the address that a datagram comes to where it was going. The zero value is ready;
// it may be used by one goroutine of one process at a time. It needs CAP_NET_ADMIN.
type Known struct{}

// ErrNoTable says that no rule of this namespace leads datagrams to a proxy.
var ErrNoTable = errors.New("datagrams of this network namespace are not captured: run heddle-proxy capture --redirect-udp before the proxy, or start it without --capture-udp")

// Aliases are from these ranges. The first belongs to the loopback interface as it is, the second by a route of Apply's.
var (
	aliases4 = netip.MustParsePrefix("127.68.0.0/16")
	aliases6 = netip.MustParsePrefix("fd68:6564:646c:6500::/112")
)

// maxKnown is the number of destinations of a family, one for each alias but the first.
const maxKnown = 1<<16 - 1

// Check says whether Lead can work.
func (Known) Check() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	e, err := elements(c)
	if err == nil && e == nil {
		err = ErrNoTable
	}
	if err != nil {
		return err
	}
	nobody := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), 0) // RFC 5737
	return forget(flows{nobody: true})
}

// Lead leads datagrams to these destinations to the proxy, and no others. A destination keeps its alias; all of them are given to ready before anything changes, and what
// ready needs to take datagrams from them must be there when it returns. Flows that have begun follow the change.
func (Known) Lead(destinations []netip.AddrPort, ready func(aliases map[netip.AddrPort]netip.Addr)) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	now, err := elements(c)
	if err != nil {
		return err
	}
	if now == nil {
		return ErrNoTable
	}
	next, err := now.assign(destinations)
	if err != nil {
		return err
	}
	ready(next)
	changed := map[netip.AddrPort]bool{}
	var gone, fresh []netip.AddrPort
	for at := range now {
		if _, stays := next[at]; !stays {
			changed[at], gone = true, append(gone, at)
		}
	}
	for at := range next {
		if _, is := now[at]; !is {
			changed[at], fresh = true, append(fresh, at)
		}
	}
	if err := errors.Join(now.each(gone, c, c.SetDeleteElements), next.each(fresh, c, c.SetAddElements)); err != nil {
		return fmt.Errorf("change the table of captured destinations: %w", err)
	}
	return forget(changed)
}

// led is the table: the alias of each destination. It is nil where there is none.
type led map[netip.AddrPort]netip.Addr

// assign gives each destination its alias: the one that it has, or a free one. One that a destination has which goes is not free yet, because datagrams may be on their way.
func (l led) assign(destinations []netip.AddrPort) (led, error) {
	taken := map[netip.Addr]bool{}
	for _, alias := range l {
		taken[alias] = true
	}
	next := led{}
	tried := map[bool]int{}
	for _, at := range destinations {
		if alias, has := l[at]; has {
			next[at] = alias
			continue
		}
		for four := at.Addr().Is4(); !next[at].IsValid(); {
			if tried[four]++; tried[four] > maxKnown {
				return nil, fmt.Errorf("more than %d destinations of datagrams: %s has no place; let the Sidecar object of its namespace see fewer services", maxKnown, at)
			}
			if a := alias(four, uint16(tried[four])); !taken[a] {
				next[at], taken[a] = a, true
			}
		}
	}
	return next, nil
}

func alias(four bool, n uint16) netip.Addr {
	if four {
		a := aliases4.Addr().As4()
		binary.BigEndian.PutUint16(a[2:], n)
		return netip.AddrFrom4(a)
	}
	a := aliases6.Addr().As16()
	binary.BigEndian.PutUint16(a[14:], n)
	return netip.AddrFrom16(a)
}
