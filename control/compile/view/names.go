package view

import (
	"math"
	"net/netip"
	"strconv"
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
)

// The names that Istio gives to what every proxy has.
const (
	PassthroughCluster = "PassthroughCluster"
	BlackHoleCluster   = "BlackHoleCluster"
	// LocalCluster is what the proxies of like workloads form, where a proxy asks for it.
	LocalCluster = "local_cluster"
	// NamesCluster takes requests to unknown hosts, which it looks up.
	NamesCluster              = "DynamicDNSCluster"
	InboundPassthroughCluster = "InboundPassthroughCluster"
	VirtualOutbound           = "virtualOutbound"
	VirtualInbound            = "virtualInbound"
	HTTPProxy                 = "http_proxy"
	// VirtualOutboundUDP takes in the datagrams that leave the workload (ours: Istio captures none).
	VirtualOutboundUDP = "udp_virtualOutbound"
)

// ParsePort reads a port's number. Names are mostly of another kind than the one that is looked for, so it makes no error that nobody reads.
func ParsePort(s string) (uint16, bool) {
	const mostDigits = 5
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' || i == mostDigits {
			return 0, false
		}
		n = 10*n + int(s[i]-'0')
	}
	return uint16(n), s != "" && n <= math.MaxUint16
}

// ClusterName is DIRECTION|PORT|SUBSET|HOST.
func ClusterName(port uint16, subset string, host mesh.Host) string {
	return "outbound|" + strconv.Itoa(int(port)) + "|" + subset + "|" + string(host)
}

// ParseClusterName reads what ClusterName wrote.
func ParseClusterName(name string) (port uint16, subset string, host mesh.Host, ok bool) {
	rest, ok := strings.CutPrefix(name, "outbound|")
	if !ok {
		return 0, "", "", false
	}
	number, rest, _ := strings.Cut(rest, "|")
	subset, text, ok := strings.Cut(rest, "|")
	if !ok || strings.IndexByte(text, '|') >= 0 {
		return 0, "", "", false
	}
	port, ok = ParsePort(number)
	return port, subset, mesh.Host(text), ok
}

// DatagramName is the cluster of a host's port for datagrams: udp|PORT||HOST.
func DatagramName(port uint16, host mesh.Host) string {
	return "udp|" + strconv.Itoa(int(port)) + "||" + string(host)
}

// ParseDatagramName reads what DatagramName wrote.
func ParseDatagramName(name string) (port uint16, host mesh.Host, ok bool) {
	rest, ok := strings.CutPrefix(name, "udp|")
	number, text, ok2 := strings.Cut(rest, "||")
	if !ok || !ok2 {
		return 0, "", false
	}
	port, ok = ParsePort(number)
	return port, mesh.Host(text), ok
}

// DatagramShares is the cluster of several hosts' ports for datagrams, each with its share: udp_shares|PORT||HOST, with what a gateway takes at its port (no host), or what a
// workload sends to the host's port.
func DatagramShares(port uint16, host mesh.Host) string {
	return "udp_shares|" + strconv.Itoa(int(port)) + "||" + string(host)
}

// ParseDatagramShares reads what DatagramShares wrote.
func ParseDatagramShares(name string) (port uint16, host mesh.Host, ok bool) {
	rest, ok := strings.CutPrefix(name, "udp_shares|")
	number, text, ok2 := strings.Cut(rest, "||")
	if !ok || !ok2 {
		return 0, "", false
	}
	port, ok = ParsePort(number)
	return port, mesh.Host(text), ok
}

// InboundName is inbound|PORT||, the cluster and route of a port of the workload.
func InboundName(port uint16) string { return "inbound|" + strconv.Itoa(int(port)) + "||" }

// ParseInboundName reads what InboundName wrote.
func ParseInboundName(name string) (port uint16, ok bool) {
	s, ok := strings.CutPrefix(name, "inbound|")
	s, ok2 := strings.CutSuffix(s, "||")
	if !ok || !ok2 {
		return 0, false
	}
	return ParsePort(s)
}

// ListenerName is ADDRESS_PORT.
func ListenerName(ip netip.Addr, port uint16) string {
	return ip.String() + "_" + strconv.Itoa(int(port))
}

// SharedListener is the name of the listener for all addresses on a port.
func SharedListener(port uint16) string { return "0.0.0.0_" + strconv.Itoa(int(port)) }

// DatagramListener is the name of the listener for datagrams to a port.
func DatagramListener(port uint16) string { return "udp_" + SharedListener(port) }

// DatagramListenerAt is the name of the listener for datagrams to an address and port.
func DatagramListenerAt(ip netip.Addr, port uint16) string { return "udp_" + ListenerName(ip, port) }

// ParseDatagramListener reads what DatagramListener and DatagramListenerAt wrote.
func ParseDatagramListener(name string) (ip netip.Addr, port uint16, ok bool) {
	rest, ok := strings.CutPrefix(name, "udp_")
	ip, port, ok2 := ParseListenerName(rest)
	return ip, port, ok && ok2
}

// ParseListenerName reads what ListenerName wrote.
func ParseListenerName(name string) (ip netip.Addr, port uint16, ok bool) {
	at := strings.LastIndexByte(name, '_')
	if at < 0 {
		return ip, 0, false
	}
	ip, err := netip.ParseAddr(name[:at])
	port, ok = ParsePort(name[at+1:])
	return ip, port, err == nil && ok
}

// HostPort is HOST:PORT, the name of virtual hosts and of routes for one service.
func HostPort(h mesh.Host, port uint16) string { return string(h) + ":" + strconv.Itoa(int(port)) }

// ParseHostPort reads what HostPort wrote.
func ParseHostPort(s string) (mesh.Host, uint16, bool) {
	at := strings.LastIndexByte(s, ':')
	if at <= 0 {
		return "", 0, false
	}
	port, ok := ParsePort(s[at+1:])
	return mesh.Host(s[:at]), port, ok
}

// SNI is the server name that sidecars use for a cluster: outbound_.PORT_.SUBSET_.HOST.
func SNI(port uint16, subset string, host mesh.Host) string {
	return "outbound_." + strconv.Itoa(int(port)) + "_." + subset + "_." + string(host)
}

// ParseSNI reads what SNI wrote; it also names the cluster that connections of that server name are passed on to.
func ParseSNI(name string) (port uint16, subset string, host mesh.Host, ok bool) {
	parts := strings.SplitN(name, "_.", 4)
	if len(parts) != 4 || parts[0] != "outbound" {
		return 0, "", "", false
	}
	port, ok = ParsePort(parts[1])
	return port, parts[2], mesh.Host(parts[3]), ok
}
