// Package capture turns a description of what a workload's proxy takes over into packet filter rules.
//
// In: a Spec. Out: Rules, which are plain data and the same for the same Spec, and their application to the network namespace of the
// calling thread with nftables. Spec and Rules are values; Apply and Remove touch the kernel and are called from one goroutine.
package capture

import (
	"net/netip"
	"slices"
)

// The ports of a sidecar (Istio's).
const (
	OutboundPort = 15001
	InboundPort  = 15006
	DNSPort      = 15053
)

// ProxyMark is the SO_MARK of the proxy's own connections, and ProxyUID the user it may run as; both are excluded from capture.
const (
	ProxyMark = 1337
	ProxyUID  = 1337
)

// Spec says what is captured. The zero value captures everything but the proxy's own traffic.
type Spec struct {
	DNS                  bool // port 53 by UDP and TCP goes to the proxy's DNS
	ExcludeOutboundPorts []uint16
	ExcludeInboundPorts  []uint16
	ExcludeOutbound      []netip.Prefix
	NoOutbound           bool // gateways: only what they dial themselves leaves
	NoInbound            bool
}

// Hook is where a rule stands.
type Hook uint8

// The hooks.
const (
	Output     Hook = iota // what processes of the namespace send
	Prerouting             // what arrives from outside
)

// Rule is one condition and what becomes of a matching packet. Zero fields are not looked at.
type Rule struct {
	Hook        Hook
	Mark        uint32
	UID         uint32
	Interface   string // outgoing at Output, incoming at Prerouting
	Protocol    uint8  // IPPROTO_TCP, IPPROTO_UDP
	Port        uint16 // destination
	Destination netip.Prefix
	Redirect    uint16 // to this local port; 0 leaves the packet alone
	Why         string
}

const (
	tcp = 6
	udp = 17
)

// reserved ports are never captured: the proxy itself serves them.
var reserved = []uint16{15000, 15001, 15006, 15008, 15020, 15021, 15053, 15090}

// Rules are in the order in which they must stand: the first match wins.
func Rules(s Spec) []Rule {
	rules := []Rule{
		{Hook: Output, Mark: ProxyMark, Why: "the proxy's own connections"},
		{Hook: Output, UID: ProxyUID, Why: "the proxy's own connections"},
	}
	if s.DNS {
		rules = append(rules,
			Rule{Hook: Output, Protocol: udp, Port: 53, Redirect: DNSPort, Why: "names are answered by the mesh"},
			Rule{Hook: Output, Protocol: tcp, Port: 53, Redirect: DNSPort, Why: "names are answered by the mesh"})
	}
	rules = append(rules, Rule{Hook: Output, Interface: "lo", Why: "a workload talks to itself directly"})
	if !s.NoOutbound {
		for _, p := range sorted(s.ExcludeOutboundPorts) {
			rules = append(rules, Rule{Hook: Output, Protocol: tcp, Port: p, Why: "excluded port"})
		}
		for _, p := range s.ExcludeOutbound {
			rules = append(rules, Rule{Hook: Output, Destination: p, Why: "excluded range"})
		}
		rules = append(rules, Rule{Hook: Output, Protocol: tcp, Redirect: OutboundPort, Why: "outbound"})
	}
	if s.NoInbound {
		return rules
	}
	rules = append(rules, Rule{Hook: Prerouting, Interface: "lo", Why: "a workload talks to itself directly"})
	for _, p := range append(slices.Clone(reserved), sorted(s.ExcludeInboundPorts)...) {
		rules = append(rules, Rule{Hook: Prerouting, Protocol: tcp, Port: p, Why: "served by the proxy, or excluded"})
	}
	return append(rules, Rule{Hook: Prerouting, Protocol: tcp, Redirect: InboundPort, Why: "inbound"})
}

func sorted(ports []uint16) []uint16 {
	ports = slices.Clone(ports)
	slices.Sort(ports)
	return slices.Compact(ports)
}
