package redirect

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/node/capture"
)

// Look describes the network namespace of the calling thread for Enrol.
func Look(spec capture.Spec) (Pod, error) {
	p := Pod{Spec: spec}
	err := sameUsers()
	if err != nil {
		return p, err
	}
	if p.Cookie, err = cookie(); err != nil {
		return p, err
	}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return p, fmt.Errorf("list the addresses of the network namespace: %w", err)
	}
	for _, a := range addresses {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			p.Addresses = append(p.Addresses, ip.Unmap())
		}
	}
	p.IPv4, p.IPv6 = source("192.0.2.1", addresses), source("2001:db8::1", addresses)
	if len(spec.ExcludeInterfaces) > 0 {
		p.Routes, err = routes()
	}
	return p, err
}

// sameUsers refuses a network namespace that belongs to another user namespace: the programs see users by the node's numbers, and the proxy's are others there.
func sameUsers() error {
	own, err := os.Stat("/proc/self/ns/user")
	if err != nil {
		return fmt.Errorf("look at the user namespace: %w", err)
	}
	net, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("open the network namespace: %w", err)
	}
	defer func() { _ = net.Close() }()
	fd, err := unix.IoctlRetInt(int(net.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		return fmt.Errorf("ask for the user namespace of the network namespace: %w", err)
	}
	users := os.NewFile(uintptr(fd), "user namespace")
	defer func() { _ = users.Close() }()
	owner, err := users.Stat()
	if err != nil {
		return fmt.Errorf("look at the user namespace of the network namespace: %w", err)
	}
	if !os.SameFile(own, owner) {
		return errors.New("the pod has a user namespace of its own (hostUsers: false), where the proxy's user has another number than on the node")
	}
	return nil
}

// source is the address from which the kernel calls somebody far away; where there is no way, the first that is known beyond the machine.
func source(far string, addresses []netlink.Addr) netip.Addr {
	is4 := netip.MustParseAddr(far).Is4()
	if routes, err := netlink.RouteGet(net.ParseIP(far)); err == nil && len(routes) > 0 {
		if ip, ok := netip.AddrFromSlice(routes[0].Src); ok {
			return ip.Unmap()
		}
	}
	for _, a := range addresses {
		ip, _ := netip.AddrFromSlice(a.IP)
		if ip = ip.Unmap(); ip.Is4() == is4 && a.Scope == int(netlink.SCOPE_UNIVERSE) && a.LinkIndex != loopbackIndex {
			return ip
		}
	}
	return netip.Addr{}
}

// loopbackIndex is the number of the loopback interface in every network namespace.
const loopbackIndex = 1

// cookie is the number of the calling thread's network namespace.
func cookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open a socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	c, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0, fmt.Errorf("ask for the number of the network namespace: %w", err)
	}
	return c, nil
}

// routes are those of the main table; of several to one range the first, which is what the kernel prefers.
func routes() (all []Route, err error) {
	names := map[int]string{}
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces of the network namespace: %w", err)
	}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := netlink.RouteList(nil, family)
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) { // no IPv6
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list the routes of the network namespace: %w", err)
		}
		best := map[netip.Prefix]int{}
		for _, r := range list {
			to := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
			if family == netlink.FAMILY_V6 {
				to = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
			}
			if r.Dst != nil {
				ip, _ := netip.AddrFromSlice(r.Dst.IP)
				bits, _ := r.Dst.Mask.Size()
				to = netip.PrefixFrom(ip, bits)
			}
			if metric, ok := best[to]; ok && metric <= r.Priority {
				continue
			}
			best[to] = r.Priority
			all = append(all, Route{To: to, Interface: names[r.LinkIndex]}) // a better one for the same range comes later, and counts
		}
	}
	return all, nil
}
