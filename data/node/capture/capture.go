// Package capture turns a description of what a workload's proxy takes over into packet filter rules.
//
// In: a Spec (or the arguments of istio-iptables that make one). Out: Rules, which are plain data and the same for the same Spec, and their application to the network
// namespace of the calling thread, in one Way or another. Spec and Rules are values; a Way touches the kernel and is called from one goroutine for each namespace.
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
	// Datagrams leads what is sent in datagrams to destinations that the proxy knows (Known) to it, and leaves all others alone. NoOutbound does not concern them.
	Datagrams bool
	// Transparent leads what arrives to the proxy without changing its addresses (TPROXY): the proxy then calls the application from the client's address.
	Transparent bool
	// OutboundPort and InboundPort are the proxy's; 0 is Istio's. UIDs and GIDs are the proxy's users and groups; none of both is ProxyUID.
	OutboundPort, InboundPort uint16
	UIDs, GIDs                []uint32
}

// Hook is where a rule stands.
type Hook uint8

// The hooks.
const (
	Output     Hook = iota // what processes of the namespace send; it can be redirected
	Prerouting             // what arrives from outside; it can be redirected
	Steer                  // what arrives from outside; it can be handed to a socket as it is
	Reroute                // what processes of the namespace send; another mark gives it another route
)

// Rule is one condition and what becomes of a matching packet. Zero fields are not looked at.
type Rule struct {
	Hook        Hook
	Mark        uint32
	UID, GID    uint32
	Connection  uint32 // mark of the connection
	Reply       bool   // against the direction in which the connection was begun
	Interface   string // outgoing at Output and Reroute, incoming at Prerouting and Steer
	Protocol    uint8  // IPPROTO_TCP, IPPROTO_UDP
	Port        uint16 // destination
	Destination netip.Prefix
	Source      netip.Prefix
	// At most one of these; without any the packet is left alone.
	Redirect uint16 // to this local port
	Hand     uint16 // to the transparent socket at this local port, with ProxyMark
	Known    uint16 // to this port at the address that the table of Known has for the destination; one that is not in it meets the next rule. Destination must be valid.
	Save     bool   // the packet's mark becomes its connection's
	Restore  bool   // the connection's mark becomes the packet's
	Why      string
}

const (
	tcp = 6
	udp = 17
)

// reserved ports are never captured: the proxy itself serves them.
var reserved = []uint16{15000, 15001, 15006, 15008, 15020, 15021, 15053, 15090}

// Rules are in the order in which they must stand: the first match wins.
func Rules(s Spec) []Rule {
	var rules []Rule
	if !s.NoInbound && !s.Transparent {
		rules = returning(s)
	}
	rules = append(rules, proxies(s, Rule{Hook: Output, Why: "the proxy's own connections"})...)
	for _, name := range s.ExcludeInterfaces {
		rules = append(rules, Rule{Hook: Output, Interface: name, Why: "excluded interface"}, Rule{Hook: s.arrival(), Interface: name, Why: "excluded interface"})
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
	if s.Datagrams {
		rules = append(rules, datagrams(s)...)
	}
	if !s.NoInbound {
		rules = append(rules, inbound(s)...)
	}
	return rules
}

// proxies are a rule for each of the ways by which what the proxy sends is known.
func proxies(s Spec, r Rule) []Rule {
	add := func(mark, uid, gid uint32) Rule {
		r.Mark, r.UID, r.GID = mark, uid, gid
		return r
	}
	rules := []Rule{add(ProxyMark, 0, 0)}
	uids := s.UIDs
	if len(uids)+len(s.GIDs) == 0 {
		uids = []uint32{ProxyUID}
	}
	for _, uid := range uids {
		rules = append(rules, add(0, uid, 0))
	}
	for _, gid := range s.GIDs {
		rules = append(rules, add(0, 0, gid))
	}
	return rules
}

var (
	// loopback are the addresses at which a pod speaks to itself, whatever it is called elsewhere.
	loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	// inward are the addresses from which the proxy calls the application.
	inward = []netip.Prefix{netip.MustParsePrefix("127.0.0.6/32"), netip.MustParsePrefix("::6/128")}
)

// returning are the rules of what a proxy sends to its own pod, because that is the endpoint that it has chosen: it arrives there like what others send.
func returning(s Spec) (rules []Rule) {
	for _, from := range inward {
		rules = append(rules, Rule{Hook: Output, Interface: "lo", Source: from, Why: "the proxy calls the application"})
	}
	for _, p := range append(slices.Clone(reserved), sorted(s.ExcludeInboundPorts)...) {
		rules = append(rules, proxies(s, Rule{Hook: Output, Interface: "lo", Protocol: tcp, Port: p, Why: "served by the proxy, or excluded"})...)
	}
	for _, to := range loopback {
		rules = append(rules, proxies(s, Rule{Hook: Output, Interface: "lo", Destination: to, Why: "the proxy talks to itself"})...)
	}
	take := Rule{Hook: Output, Interface: "lo", Protocol: tcp, Redirect: cmp.Or(s.InboundPort, InboundPort), Why: "a workload calls its own service"}
	if !s.OnlyInbound {
		return append(rules, proxies(s, take)...)
	}
	for _, p := range sorted(s.IncludeInboundPorts) {
		take.Port = p
		rules = append(rules, proxies(s, take)...)
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

var (
	all4 = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	all6 = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
)

// datagrams are the rules of what is sent in datagrams: the same order as of connections.
func datagrams(s Spec) (rules []Rule) {
	to := cmp.Or(s.OutboundPort, OutboundPort)
	for _, p := range sorted(s.ExcludeOutboundPorts) {
		rules = append(rules, Rule{Hook: Output, Protocol: udp, Port: p, Why: "excluded port"})
	}
	for _, p := range s.ExcludeOutbound {
		rules = append(rules, Rule{Hook: Output, Protocol: udp, Destination: p, Why: "excluded range"})
	}
	if !s.OnlyOutbound {
		for _, all := range []netip.Prefix{all4, all6} {
			rules = append(rules, Rule{Hook: Output, Protocol: udp, Destination: all, Known: to, Why: "outbound datagrams"})
		}
		return rules
	}
	for _, p := range sorted(s.IncludeOutboundPorts) {
		for _, all := range []netip.Prefix{all4, all6} {
			rules = append(rules, Rule{Hook: Output, Protocol: udp, Destination: all, Port: p, Known: to, Why: "included port"})
		}
	}
	for _, p := range s.IncludeOutbound {
		rules = append(rules, Rule{Hook: Output, Protocol: udp, Destination: p, Known: to, Why: "included range"})
	}
	return rules
}

// arrival is the hook of what arrives.
func (s *Spec) arrival() Hook {
	if s.Transparent {
		return Steer
	}
	return Prerouting
}

func inbound(s Spec) []Rule {
	hook, take := s.arrival(), Rule{Hook: s.arrival(), Protocol: tcp}
	if take.Redirect = cmp.Or(s.InboundPort, InboundPort); s.Transparent {
		take.Redirect, take.Hand = 0, take.Redirect
	}
	rules := []Rule{{Hook: hook, Interface: "lo", Why: "a workload talks to itself directly"}}
	if s.Transparent {
		// iptables drops what belongs to a socket that is not transparent; where addresses are changed only a connection's first packet is looked at.
		rules = append(rules, Rule{Hook: hook, Reply: true, Why: "an answer to what this side has begun"})
	}
	for _, p := range append(slices.Clone(reserved), sorted(s.ExcludeInboundPorts)...) {
		rules = append(rules, Rule{Hook: hook, Protocol: tcp, Port: p, Why: "served by the proxy, or excluded"})
	}
	if !s.OnlyInbound {
		take.Why = "inbound"
		rules = append(rules, take)
	}
	for _, p := range sorted(s.IncludeInboundPorts) {
		take.Port, take.Why = p, "included port"
		rules = append(rules, take)
	}
	if s.Transparent {
		rules = append(rules, answers...)
	}
	return rules
}

// answers lead what the application answers to a client's address back to the proxy, which called from there: its packets are marked, the mark is kept with the
// connection, and the answer gets it back (and by it the route of route.go).
var answers = []Rule{
	{Hook: Reroute, Mark: ProxyMark, Interface: "lo", Protocol: tcp, Save: true, Why: "the proxy calls from the client's address"},
	{Hook: Reroute, Mark: ProxyMark, Why: "the proxy's own connections"},
	{Hook: Reroute, Connection: ProxyMark, Protocol: tcp, Restore: true, Why: "the answer goes to the proxy"},
}

// String is a rule as people read it.
func (r Rule) String() string {
	words := []string{map[Hook]string{Output: "out", Prerouting: "in", Steer: "in", Reroute: "route"}[r.Hook]}
	add := func(is bool, format string, value any) {
		if is {
			words = append(words, fmt.Sprintf(format, value))
		}
	}
	add(r.Mark != 0, "mark %d", r.Mark)
	add(r.UID != 0, "uid %d", r.UID)
	add(r.GID != 0, "gid %d", r.GID)
	add(r.Connection != 0, "connection mark %d", r.Connection)
	add(r.Reply, "%s", "answers")
	add(r.Interface != "", "interface %s", r.Interface)
	add(r.Protocol == tcp, "%s", "tcp")
	add(r.Protocol == udp, "%s", "udp")
	add(r.Source.IsValid(), "from %s", r.Source)
	add(r.Destination.IsValid(), "to %s", r.Destination)
	add(r.Port != 0, "port %d", r.Port)
	what := "left alone"
	switch {
	case r.Redirect != 0:
		what = fmt.Sprintf("to %d", r.Redirect)
	case r.Hand != 0:
		what = fmt.Sprintf("to %d as it is", r.Hand)
	case r.Known != 0:
		what = fmt.Sprintf("to %d if the proxy knows the destination", r.Known)
	case r.Save:
		what = "the connection gets the mark"
	case r.Restore:
		what = "gets the connection's mark"
	}
	return fmt.Sprintf("%s: %s (%s)", strings.Join(words, " "), what, r.Why)
}

func sorted(ports []uint16) []uint16 {
	ports = slices.Clone(ports)
	slices.Sort(ports)
	return slices.Compact(ports)
}
