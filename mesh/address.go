package mesh

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// AddressKind tells what an Address holds.
type AddressKind uint8

// The kinds of address.
const (
	AddrIP AddressKind = iota
	AddrHostname
	AddrUnix
)

// Address is where an endpoint is reached: an IP (IPv4-mapped IPv6 is normalised), a DNS name or a unix socket. The zero value is "none".
type Address struct {
	kind AddressKind
	ip   netip.Addr
	text string
}

// ParseAddress reads an IP, unix://PATH or a host name.
func ParseAddress(s string) (Address, error) {
	if path, ok := strings.CutPrefix(s, "unix://"); ok {
		if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "@") {
			return Address{}, fmt.Errorf("parse address %q: want unix:///absolute/path or unix://@abstract", s)
		}
		return Address{kind: AddrUnix, text: path}, nil
	}
	if ip, err := netip.ParseAddr(s); err == nil {
		return IPAddress(ip), nil
	}
	h, err := ParseHost(s)
	if err != nil || h.IsWildcard() {
		return Address{}, fmt.Errorf("parse address %q: neither an IP address, a host name nor unix://PATH", s)
	}
	return Address{kind: AddrHostname, text: string(h)}, nil
}

// IPAddress is the address of an IP; an IPv4-mapped IPv6 address becomes IPv4.
func IPAddress(ip netip.Addr) Address { return Address{ip: ip.Unmap()} }

// Kind tells which of IP, Hostname and Path holds.
func (a Address) Kind() AddressKind { return a.kind }

// IP is valid for AddrIP.
func (a Address) IP() netip.Addr { return a.ip }

// Text is the host name or socket path.
func (a Address) Text() string { return a.text }

// IsZero says whether there is no address.
func (a Address) IsZero() bool { return a == Address{} }

// String is the form that ParseAddress reads.
func (a Address) String() string {
	switch a.kind {
	case AddrHostname:
		return a.text
	case AddrUnix:
		return "unix://" + a.text
	}
	if !a.ip.IsValid() {
		return ""
	}
	return a.ip.String()
}

// WithPort is HOST:PORT with brackets around IPv6.
func (a Address) WithPort(port uint16) string {
	if a.kind == AddrIP {
		return netip.AddrPortFrom(a.ip, port).String()
	}
	return a.text + ":" + strconv.Itoa(int(port))
}
