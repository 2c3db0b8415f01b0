package capture

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// flows are those whose first datagram went to one of these destinations.
type flows map[netip.AddrPort]bool

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (f flows) MatchConntrackFlow(x *netlink.ConntrackFlow) bool {
	ip, ok := netip.AddrFromSlice(x.Forward.DstIP)
	return ok && x.Forward.Protocol == udp && f[netip.AddrPortFrom(ip.Unmap(), x.Forward.DstPort)]
}

// forget lets the next datagram of every flow be looked at anew: the kernel decides once for each flow.
func forget(changed flows) error {
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		four := family == unix.AF_INET
		concerned := false
		for at := range changed {
			concerned = concerned || at.Addr().Is4() == four
		}
		if !concerned {
			continue
		}
		err := error(netlink.ErrDumpInterrupted)
		for range 5 { // the table changes while it is read
			if _, err = netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, changed); !errors.Is(err, netlink.ErrDumpInterrupted) {
				break
			}
		}
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) { // what is left decides anew when it has been silent
			return fmt.Errorf("let flows of datagrams begin anew: %w", err)
		}
	}
	return nil
}
