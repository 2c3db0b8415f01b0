package mesh

import (
	"net/netip"
	"time"
)

// SidecarScope is one object of Istio's kind Sidecar: what sidecars see of the mesh, and where they listen.
type SidecarScope struct {
	Origin  Ref
	Created time.Time
	// Selector chooses workloads of the object's namespace; empty: all of them, and in the root namespace all that no other object is for.
	Selector Labels
	Egress   []EgressListener  // none: everything that is exported to the proxy's namespace
	Ingress  []IngressListener // none: the ports of the workload's services
	Outbound *OutboundPolicy   // nil: the mesh's
	Pool     *ConnectionPool   // of inbound connections, where the listener has none of its own
}

// OutboundPolicy says what becomes of traffic to what a proxy does not know.
type OutboundPolicy struct {
	RegistryOnly bool
	Proxy        *Backend // takes it, when it may leave; nil: it goes where the client wanted
}

// CaptureMode says how connections come to a listener.
type CaptureMode uint8

// The modes. By default they come as to the proxy's other listeners.
const (
	CaptureDefault  CaptureMode = iota
	CaptureRedirect             // by the capture of the workload's traffic
	CaptureNone                 // the listener is dialled
)

// EgressListener is a part of what a sidecar sees, and where it is reached.
type EgressListener struct {
	Port     uint16 // 0: every port that no other listener has, or the one unix socket that is Bind
	Name     string
	Protocol Protocol
	Proxy    bool    // the protocol is HTTP_PROXY: requests to whatever is imported, on every port
	Bind     Address // zero: the services' own addresses, or loopback for a listener that is dialled or for requests of a proxy's clients
	Capture  CaptureMode
	Hosts    []Import
}

// Own says that the listener does not stand at the addresses of services: it has an address of its own, or is dialled.
func (e *EgressListener) Own() bool { return !e.Bind.IsZero() || e.Capture == CaptureNone || e.Proxy }

// Exports are what objects are exported to that do not say it.
type Exports struct{ Services, VirtualServices, DestinationRules Visibility }

// Everywhere and Here are the namespaces of an Import that stand for others: any, and the proxy's own.
const (
	Everywhere Namespace = "*"
	Here       Namespace = "."
)

// Import is NAMESPACE/HOST of a Sidecar. An exception takes out what others take in.
type Import struct {
	Namespace Namespace
	Host      Host
	Except    bool
}

// IngressListener is a port at which a sidecar takes what is for its workload.
type IngressListener struct {
	Port     uint16
	Name     string
	Protocol Protocol
	Bind     netip.Addr // invalid: every address
	Capture  CaptureMode
	// Endpoint is where the workload listens: a loopback address, a unix socket, or the unspecified address for the one that was dialled. Zero: as it was dialled, port too.
	Endpoint     Address
	EndpointPort uint16
	TLS          *ServerTLS // ended here, on a port where the mesh's mutual TLS is off; nil: the mesh's alone
	Denied       string     // why nothing may be let in (its TLS cannot be enforced)
	Pool         *ConnectionPool
}

// Imports says whether a service is imported: some entry takes the host in, and none takes it out. here says whether a namespace is the proxy's own.
func Imports(list []Import, id ServiceID, here func(Namespace) bool) bool {
	return imported(list, id.Namespace, here, func(of Host) bool { return of == id.Host || of.IsWildcard() && of.Matches(id.Host) })
}

// ImportsRoute says whether a rule for hosts is: one of its hosts is imported, or covers one that is.
func ImportsRoute(list []Import, r *Route, here func(Namespace) bool) bool {
	hosts := r.Hosts
	if len(r.Calls) > 0 { // those of its gateways are none of it
		hosts = nil
		for _, c := range r.Calls {
			hosts = append(hosts, c.Host)
		}
	}
	for _, h := range hosts {
		if imported(list, r.Origin.Namespace, here, func(of Host) bool { return of.Matches(h) || h.Matches(of) }) {
			return true
		}
	}
	return false
}

func imported(list []Import, ns Namespace, here func(Namespace) bool, covers func(Host) bool) (in bool) {
	for _, x := range list {
		if !covers(x.Host) || x.Namespace != Everywhere && x.Namespace != ns && (x.Namespace != Here || !here(ns)) {
			continue
		}
		if x.Except {
			return false
		}
		in = true
	}
	return in
}
