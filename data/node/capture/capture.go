// Package capture turns a description of what a workload's proxy takes over into packet filter rules.
//
// In: a Spec. Out: Rules, which are plain data and the same for the same Spec, and their application to the network namespace of the
// calling thread with nftables. Spec and Rules are values; Apply and Remove touch the kernel and are called from one goroutine.
package capture

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
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
	// OnlyOutbound captures what goes to IncludeOutbound, OnlyInbound what arrives at IncludeInboundPorts, and nothing else.
	OnlyOutbound         bool
	IncludeOutbound      []netip.Prefix
	IncludeOutboundPorts []uint16 // captured whatever the range
	OnlyInbound          bool
	IncludeInboundPorts  []uint16
	ExcludeInterfaces    []string
	// OutboundPort and InboundPort are the proxy's; 0 is Istio's. UIDs are the proxy's users; none is ProxyUID.
	OutboundPort, InboundPort uint16
	UIDs                      []uint32
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
	rules := []Rule{{Hook: Output, Mark: ProxyMark, Why: "the proxy's own connections"}}
	uids := s.UIDs
	if len(uids) == 0 {
		uids = []uint32{ProxyUID}
	}
	for _, uid := range uids {
		rules = append(rules, Rule{Hook: Output, UID: uid, Why: "the proxy's own connections"})
	}
	for _, name := range s.ExcludeInterfaces {
		rules = append(rules, Rule{Hook: Output, Interface: name, Why: "excluded interface"}, Rule{Hook: Prerouting, Interface: name, Why: "excluded interface"})
	}
	if s.DNS {
		rules = append(rules,
			Rule{Hook: Output, Protocol: udp, Port: 53, Redirect: DNSPort, Why: "names are answered by the mesh"},
			Rule{Hook: Output, Protocol: tcp, Port: 53, Redirect: DNSPort, Why: "names are answered by the mesh"})
	}
	rules = append(rules, Rule{Hook: Output, Interface: "lo", Why: "a workload talks to itself directly"})
	if !s.NoOutbound {
		rules = append(rules, outbound(s)...)
	}
	if !s.NoInbound {
		rules = append(rules, inbound(s)...)
	}
	return rules
}

func outbound(s Spec) (rules []Rule) {
	to := cmp.Or(s.OutboundPort, OutboundPort)
	for _, p := range sorted(s.ExcludeOutboundPorts) {
		rules = append(rules, Rule{Hook: Output, Protocol: tcp, Port: p, Why: "excluded port"})
	}
	for _, p := range s.ExcludeOutbound {
		rules = append(rules, Rule{Hook: Output, Destination: p, Why: "excluded range"})
	}
	if !s.OnlyOutbound {
		return append(rules, Rule{Hook: Output, Protocol: tcp, Redirect: to, Why: "outbound"})
	}
	for _, p := range sorted(s.IncludeOutboundPorts) {
		rules = append(rules, Rule{Hook: Output, Protocol: tcp, Port: p, Redirect: to, Why: "included port"})
	}
	for _, p := range s.IncludeOutbound {
		rules = append(rules, Rule{Hook: Output, Protocol: tcp, Destination: p, Redirect: to, Why: "included range"})
	}
	return rules
}

func inbound(s Spec) []Rule {
	to := cmp.Or(s.InboundPort, InboundPort)
	rules := []Rule{{Hook: Prerouting, Interface: "lo", Why: "a workload talks to itself directly"}}
	for _, p := range append(slices.Clone(reserved), sorted(s.ExcludeInboundPorts)...) {
		rules = append(rules, Rule{Hook: Prerouting, Protocol: tcp, Port: p, Why: "served by the proxy, or excluded"})
	}
	if !s.OnlyInbound {
		return append(rules, Rule{Hook: Prerouting, Protocol: tcp, Redirect: to, Why: "inbound"})
	}
	for _, p := range sorted(s.IncludeInboundPorts) {
		rules = append(rules, Rule{Hook: Prerouting, Protocol: tcp, Port: p, Redirect: to, Why: "included port"})
	}
	return rules
}

// String is a rule as people read it.
func (r Rule) String() string {
	words := []string{map[Hook]string{Output: "out", Prerouting: "in"}[r.Hook]}
	add := func(is bool, format string, value any) {
		if is {
			words = append(words, fmt.Sprintf(format, value))
		}
	}
	add(r.Mark != 0, "mark %d", r.Mark)
	add(r.UID != 0, "uid %d", r.UID)
	add(r.Interface != "", "interface %s", r.Interface)
	add(r.Protocol == tcp, "%s", "tcp")
	add(r.Protocol == udp, "%s", "udp")
	add(r.Destination.IsValid(), "to %s", r.Destination)
	add(r.Port != 0, "port %d", r.Port)
	if r.Redirect == 0 {
		return strings.Join(words, " ") + ": left alone (" + r.Why + ")"
	}
	return fmt.Sprintf("%s: to %d (%s)", strings.Join(words, " "), r.Redirect, r.Why)
}

func sorted(ports []uint16) []uint16 {
	ports = slices.Clone(ports)
	slices.Sort(ports)
	return slices.Compact(ports)
}
