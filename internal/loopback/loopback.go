// Package loopback says whether an address is of this machine alone.
//
// In: HOST:PORT or HOST, as a flag or the Host header of a request has it. Out: yes or no. Names are not looked up: of all names localhost alone is one.
package loopback

import (
	"net"
	"net/netip"
	"strings"
)

// Is says whether HOST:PORT, or HOST alone, is a loopback address or localhost.
func Is(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	host = strings.Trim(host, "[]")
	a, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && a.Unmap().IsLoopback()
}
