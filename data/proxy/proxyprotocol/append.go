package proxyprotocol

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// Append adds a header of a version (1 or 2) for a connection between two ends, with extensions (see Extend) in version 2. Without both ends it says that the proxy speaks
// for itself, and there are no extensions.
func Append(b []byte, version uint8, from, to netip.AddrPort, extensions []byte) []byte {
	known := from.IsValid() && to.IsValid()
	if known && from.Addr().Is4() != to.Addr().Is4() { // one family for both: IPv4 has a place in IPv6
		from, to = wide(from), wide(to)
	}
	if version == 1 {
		return text(b, known, from, to)
	}
	start := len(b)
	b = append(b, signature2...)
	switch {
	case !known:
		return append(b, 0x20, 0, 0, 0)
	case from.Addr().Is4():
		b = append(b, 0x21, 0x11, 0, addrs4)
		four, other := from.Addr().As4(), to.Addr().As4()
		b = append(append(b, four[:]...), other[:]...)
	default:
		b = append(b, 0x21, 0x21, 0, addrs6)
		six, other := from.Addr().As16(), to.Addr().As16()
		b = append(append(b, six[:]...), other[:]...)
	}
	b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, from.Port()), to.Port())
	if len(extensions) > 0 {
		b = append(b, extensions...)
		binary.BigEndian.PutUint16(b[start+fixed-2:], uint16(len(b)-start-fixed))
	}
	return b
}

func wide(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
}

func text(b []byte, known bool, from, to netip.AddrPort) []byte {
	b = append(b, signature1...)
	switch {
	case !known:
		return append(b, "UNKNOWN\r\n"...)
	case from.Addr().Is4():
		b = append(b, "TCP4 "...)
	default:
		b = append(b, "TCP6 "...)
	}
	b = append(from.Addr().WithZone("").AppendTo(b), ' ')
	b = append(to.Addr().WithZone("").AppendTo(b), ' ')
	b = append(strconv.AppendUint(b, uint64(from.Port()), 10), ' ')
	return append(strconv.AppendUint(b, uint64(to.Port()), 10), '\r', '\n')
}
