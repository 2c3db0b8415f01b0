package capture

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/node/netns"
)

// Packets with ProxyMark are for this machine whatever their address: what is handed to a transparent socket, and answers to a client's address that the proxy calls from.
const routeTable = 133 // Istio's

// surround makes what rules need beside the packet filter.
func surround(rules []Rule) error {
	if slices.ContainsFunc(rules, func(r Rule) bool { return r.Hook == Steer && r.Hand != 0 }) {
		if err := route(); err != nil {
			return err
		}
	} else if err := unroute(); err != nil {
		return err
	}
	change := (*netlink.Handle).RouteReplace
	if !slices.ContainsFunc(rules, func(r Rule) bool { return r.Known != 0 }) {
		change = (*netlink.Handle).RouteDel
	}
	if err := own(change); err != nil {
		return err
	}
	return netns.SidecarAddress()
}

func families() []int {
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		return []int{netlink.FAMILY_V4}
	}
	return []int{netlink.FAMILY_V4, netlink.FAMILY_V6}
}

func policy(family int) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Mark, r.Table = family, ProxyMark, routeTable
	return r
}

func everything(family, loopback int) *netlink.Route {
	zero := net.IPv4zero.To4()
	if family == netlink.FAMILY_V6 {
		zero = net.IPv6zero
	}
	return &netlink.Route{LinkIndex: loopback, Table: routeTable, Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST, Family: family,
		Dst: &net.IPNet{IP: zero, Mask: net.CIDRMask(0, len(zero)*8)}}
}

func route() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback interface: %w", err)
	}
	for _, family := range families() {
		if err := netlink.RouteReplace(everything(family, lo.Attrs().Index)); err != nil {
			if family == netlink.FAMILY_V6 && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)) {
				continue // IPv6 is switched off in this namespace
			}
			return fmt.Errorf("route marked packets to this machine: %w", err)
		}
		if err := netlink.RuleAdd(policy(family)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("route marked packets by their mark: %w", err)
		}
	}
	return nil
}

func unroute() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback interface: %w", err)
	}
	none := func(err error) bool {
		return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EAFNOSUPPORT)
	}
	for _, family := range families() {
		if err := netlink.RuleDel(policy(family)); err != nil && !none(err) {
			return fmt.Errorf("remove the rule for marked packets: %w", err)
		}
		if err := netlink.RouteDel(everything(family, lo.Attrs().Index)); err != nil && !none(err) {
			return fmt.Errorf("remove the route of marked packets: %w", err)
		}
	}
	return nil
}

// own makes the IPv6 aliases addresses of this namespace, or takes that back.
func own(change func(*netlink.Handle, *netlink.Route) error) error {
	if len(families()) == 1 {
		return nil
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback interface: %w", err)
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open rtnetlink: %w", err)
	}
	defer h.Close()
	err = change(h, &netlink.Route{LinkIndex: lo.Attrs().Index, Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST, Family: netlink.FAMILY_V6, Dst: &net.IPNet{IP: aliases6.Addr().AsSlice(), Mask: net.CIDRMask(aliases6.Bits(), 128)}})
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.ESRCH), errors.Is(err, unix.ENOENT): // IPv6 is switched off, or there is nothing to take back
		return nil
	case err != nil:
		return fmt.Errorf("route the aliases of captured destinations: %w", err)
	}
	return nil
}
