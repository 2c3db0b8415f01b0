package proxyprotocol

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"unsafe"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// The beginnings of headers.
const (
	signature1 = "PROXY "
	signature2 = "\r\n\r\n\x00\r\nQUIT\n"
)

// Sizes of headers in bytes: the longest line of version 1 with its end, and the fixed part of version 2 and its addresses (specification, sections 2.1 and 2.2).
const (
	maxLine  = 107
	fixed    = 16
	addrs4   = 12
	addrs6   = 36
	tlvStart = 3
)

// Verdict is what the bytes so far show.
type Verdict uint8

// The verdicts. Absent is for listeners where the header is optional; elsewhere its absence is Missing.
const (
	More Verdict = iota
	Found
	Absent
	Missing
	Broken
	Disallowed // a header of a version that the listener does not take
)

// Header is what a proxy said.
type Header struct {
	Version uint8 // 0 where none is recognised
	// From and To are the ends of the connection that the proxy speaks for; both invalid where it speaks for itself (LOCAL, UNKNOWN).
	From, To netip.AddrPort
	// Extensions is where they begin in the header, up to its end; 0 for none.
	Extensions int
}

// Parse looks at the first bytes of a connection. The header is n bytes long when it was found.
func Parse(p []byte, c *config.ProxyHeader) (h Header, n int, v Verdict) {
	one, two := begins(p, signature1), begins(p, signature2)
	if c.Optional {
		one, two = one && !c.NoV1, two && !c.NoV2
	}
	switch {
	case !one && !two && c.Optional:
		return h, 0, Absent
	case !one && !two:
		return h, 0, Missing
	case len(p) < len(signature1) || two && len(p) < len(signature2):
		return h, 0, More
	case two:
		h.Version = 2
		if c.NoV2 {
			return h, 0, Disallowed
		}
		return binaryForm(p)
	}
	h.Version = 1
	if c.NoV1 {
		return h, 0, Disallowed
	}
	return textForm(p)
}

// begins says whether p begins as text does, as far as it goes.
func begins(p []byte, text string) bool {
	n := min(len(p), len(text))
	return string(p[:n]) == text[:n]
}

// textForm reads version 1: PROXY TCP4 FROM TO PORT PORT, in one line.
func textForm(p []byte) (h Header, n int, v Verdict) {
	h.Version = 1
	end := bytes.Index(p[:min(len(p), maxLine)], []byte("\r\n"))
	switch {
	case end >= 0:
	case len(p) >= maxLine:
		return h, 0, Broken
	default:
		return h, 0, More
	}
	n = end + 2
	line := p[len(signature1):end]
	if kind, _, _ := bytes.Cut(line, []byte(" ")); string(kind) == "UNKNOWN" {
		return h, n, Found
	}
	var words [5][]byte
	for i := range words {
		word, rest, more := bytes.Cut(line, []byte(" "))
		if more != (i < len(words)-1) {
			return h, 0, Broken
		}
		words[i], line = word, rest
	}
	from, to := endOf(words[1], words[3]), endOf(words[2], words[4])
	switch kind := string(words[0]); {
	case !unicast(from.Addr()) || !unicast(to.Addr()):
		return h, 0, Broken
	case kind == "TCP4" && from.Addr().Is4() && to.Addr().Is4(), kind == "TCP6" && from.Addr().Is6() && to.Addr().Is6():
		h.From, h.To = plain(from), plain(to)
		return h, n, Found
	}
	return h, 0, Broken
}

// endOf reads an address and a port; what it gives is not valid when either is not, or has more than one way to be written.
func endOf(address, port []byte) netip.AddrPort {
	if bytes.IndexByte(address, '%') >= 0 || len(port) == 0 || len(port) > 5 || port[0] == '0' && len(port) > 1 {
		return netip.AddrPort{}
	}
	number := 0
	for _, c := range port {
		if c < '0' || c > '9' {
			return netip.AddrPort{}
		}
		number = 10*number + int(c-'0')
	}
	ip, err := netip.ParseAddr(unsafe.String(unsafe.SliceData(address), len(address))) // kept by an error or a zone only, and there is neither
	if err != nil || number > 65535 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip, uint16(number))
}

// unicast says whether an address can be an end of a TCP connection.
func unicast(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// plain writes an IPv4-mapped address as IPv4, as everywhere in this proxy.
func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// binaryForm reads version 2: signature, version and command, family and protocol, length; then addresses and extensions.
func binaryForm(p []byte) (h Header, n int, v Verdict) {
	h.Version = 2
	if len(p) < fixed {
		return h, 0, More
	}
	command, family := p[12], p[13]
	n = fixed + int(binary.BigEndian.Uint16(p[14:]))
	addresses := 0
	switch {
	case command>>4 != 2 || command&0xf > 1:
		return h, 0, Broken
	case command&0xf == 0: // LOCAL: whatever follows is skipped
	case family == 0x11 || family == 0x12:
		addresses = addrs4
	case family == 0x21 || family == 0x22:
		addresses = addrs6
	default: // a unix socket, or nothing, is no client that anything could be said about
		return h, 0, Broken
	}
	switch {
	case n < fixed+addresses:
		return h, 0, Broken
	case len(p) < n:
		return h, 0, More
	case addresses == 0:
		return h, n, Found
	}
	h.From, h.To = ends(p[fixed : fixed+addresses])
	if !unicast(h.From.Addr()) || !unicast(h.To.Addr()) || !extensions(p[fixed+addresses:n]) {
		return Header{Version: 2}, 0, Broken
	}
	if n > fixed+addresses {
		h.Extensions = fixed + addresses
	}
	return h, n, Found
}

// ends reads two addresses and two ports.
func ends(p []byte) (from, to netip.AddrPort) {
	size := (len(p) - 4) / 2
	a, _ := netip.AddrFromSlice(p[:size])
	b, _ := netip.AddrFromSlice(p[size : 2*size])
	ports := p[2*size:]
	return plain(netip.AddrPortFrom(a, binary.BigEndian.Uint16(ports))), plain(netip.AddrPortFrom(b, binary.BigEndian.Uint16(ports[2:])))
}

// extensions says whether the rest of a header is a list of type, length and value.
func extensions(p []byte) bool {
	for len(p) > 0 {
		if len(p) < tlvStart {
			return false
		}
		size := tlvStart + int(binary.BigEndian.Uint16(p[1:]))
		if size > len(p) {
			return false
		}
		p = p[size:]
	}
	return true
}
