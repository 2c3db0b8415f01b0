package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Device is the name of the interface that a wired namespace sees.
const Device = "eth0"

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback interface: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set the loopback interface up: %w", err)
	}
	if !ipv6() {
		return nil
	}
	return own(lo)
}

// own gives the loopback interface the address that a sidecar calls its application from: 127.0.0.6, which every loopback interface has, or ::6, which none has.
func own(lo netlink.Link) error {
	a := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP("::6"), Mask: net.CIDRMask(128, 128)}, Flags: unix.IFA_F_NODAD}
	if err := netlink.AddrAdd(lo, a); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add ::6 to the loopback interface: %w", err)
	}
	return nil
}

// SidecarAddress gives the calling thread's namespace the IPv6 address that a sidecar calls its application from, if the namespace speaks IPv6 with others.
func SidecarAddress() error {
	if !ipv6() {
		return nil
	}
	all, err := netlink.AddrList(nil, netlink.FAMILY_V6)
	if err != nil {
		return fmt.Errorf("list the addresses of the network namespace: %w", err)
	}
	if !slices.ContainsFunc(all, func(a netlink.Addr) bool { return a.IP.IsGlobalUnicast() }) {
		return nil
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback interface: %w", err)
	}
	return own(lo)
}

// Bridge makes a bridge in the namespace with the given gateway addresses (with their prefix lengths).
func (n *Namespace) Bridge(name string, gateways ...netip.Prefix) error {
	return n.Do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		br := &netlink.Bridge{LinkAttrs: attrs}
		if err := netlink.LinkAdd(br); err != nil {
			return fmt.Errorf("add bridge %s: %w", name, err)
		}
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find bridge %s: %w", name, err)
		}
		return address(link, gateways)
	})
}

// Wire joins the namespace to a bridge in another one, with addresses on Device and default routes through the gateways.
// Port is the name of the bridge's end, at most 15 bytes.
func (n *Namespace) Wire(fabric *Namespace, bridge, port string, addresses []netip.Prefix, gateways []netip.Addr) error {
	if err := fabric.Do(func() error { return n.plug(bridge, port) }); err != nil {
		return err
	}
	return n.Do(func() error {
		link, err := netlink.LinkByName(Device)
		if err != nil {
			return fmt.Errorf("find %s: %w", Device, err)
		}
		if err := address(link, addresses); err != nil {
			return err
		}
		for _, g := range gateways {
			if !slices.ContainsFunc(addresses, func(p netip.Prefix) bool { return p.Contains(g) }) {
				continue // no address of this family
			}
			route := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.IP(g.AsSlice())}
			if err := netlink.RouteAdd(route); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
				return fmt.Errorf("add the default route through %s: %w", g, err)
			}
		}
		return nil
	})
}

// plug makes the pair of interfaces from inside the bridge's namespace.
func (n *Namespace) plug(bridge, port string) error {
	br, err := netlink.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", bridge, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex = port, br.Attrs().Index
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: Device, PeerNamespace: netlink.NsFd(n.FD())}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("add interface %s: %w", port, err)
	}
	link, err := netlink.LinkByName(port)
	if err != nil {
		return fmt.Errorf("find interface %s: %w", port, err)
	}
	return netlink.LinkSetUp(link)
}

// address gives a link its addresses and sets it up. Duplicate address detection is off: the addresses are ours alone and must work at once.
func address(link netlink.Link, addresses []netip.Prefix) error {
	name := link.Attrs().Name
	for _, p := range addresses {
		if p.Addr().Is6() && !ipv6() {
			continue
		}
		bits := p.Addr().BitLen()
		a := &netlink.Addr{IPNet: &net.IPNet{IP: net.IP(p.Addr().AsSlice()), Mask: net.CIDRMask(p.Bits(), bits)}}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			return fmt.Errorf("add %s to %s: %w", p, name, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

// ipv6 says whether the kernel has IPv6 at all.
func ipv6() bool {
	_, err := os.Stat("/proc/net/if_inet6")
	return err == nil
}

// AddAddresses gives Device more addresses.
func (n *Namespace) AddAddresses(addresses ...netip.Prefix) error {
	return n.Do(func() error {
		link, err := netlink.LinkByName(Device)
		if err != nil {
			return fmt.Errorf("find %s: %w", Device, err)
		}
		return address(link, addresses)
	})
}
