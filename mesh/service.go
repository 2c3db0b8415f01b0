package mesh

import (
	"net/netip"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/identity"
)

// Protocol is how a port is treated (Istio's protocol selection).
type Protocol uint8

// The protocols. Auto is detected on the wire.
const (
	Auto Protocol = iota
	TCP
	TLS
	HTTP
	HTTPS
	HTTP2
	GRPC
	GRPCWeb
	UDP
	Mongo
	MySQL
	Redis
)

// IsHTTP says whether requests are routed by HTTP rules. HTTP2, GRPC are HTTP too; a proxy that cannot do them gets TCP.
func (p Protocol) IsHTTP() bool { return p >= HTTP && p <= GRPCWeb && p != HTTPS }

// Resolution tells where a service's addresses come from (ServiceEntry.resolution).
type Resolution uint8

// The resolutions.
const (
	Static          Resolution = iota // endpoints are known
	DNS                               // STRICT_DNS on the proxy
	DNSRoundRobin                     // LOGICAL_DNS on the proxy
	PassthroughDest                   // ServiceEntry NONE: to the address that the client dialled
	ClientNames                       // ServiceEntry DYNAMIC_DNS: to the host that the request or the TLS names
)

// Visibility is exportTo: which namespaces see an object. The zero value is "everyone".
type Visibility struct {
	Private    bool        // "."
	Nobody     bool        // "~"
	Namespaces []Namespace // explicit list, in order
}

// From says whether an object of namespace owner is seen from namespace viewer.
func (v Visibility) From(owner, viewer Namespace) bool {
	if v.Nobody {
		return false
	}
	if !v.Private && len(v.Namespaces) == 0 {
		return true
	}
	if v.Private && owner == viewer {
		return true
	}
	for _, n := range v.Namespaces {
		if n == viewer {
			return true
		}
	}
	return false
}

// Port is one port of a service.
type Port struct {
	Name       string
	Number     uint16
	TargetPort uint16 // the port that the workload listens on when the endpoint does not say; 0 means Number
	Protocol   Protocol
}

// Service is something that has a name and is called.
type Service struct {
	ID        ServiceID
	Created   time.Time
	Ports     []Port // ordered by number
	Addresses []netip.Addr
	// AutoAddress was given by the control plane because the service has none of its own; it is in the name table only for proxies that capture DNS.
	AutoAddress bool
	// Unaddressed says that its owner wants none to be given.
	Unaddressed bool
	// Prefixes are CIDR addresses of a ServiceEntry.
	Prefixes []netip.Prefix
	// Alias is the host of another service that this one is only another name of (type ExternalName).
	Alias      Host
	Headless   bool
	Near       Nearness // which endpoints go first (trafficDistribution)
	NodeLocal  bool     // only endpoints of the client's node are called (internalTrafficPolicy)
	Resolution Resolution
	// Local are addresses of a proxy's own host and link that names of ClientNames may lead to.
	Local    []netip.Prefix
	External bool // MESH_EXTERNAL: no mTLS, no authorization of ours
	ExportTo Visibility
	Selector Labels
	// SubjectAltNames are accepted server identities besides those of the endpoints (ServiceEntry.subjectAltNames).
	SubjectAltNames []string
	Labels          Labels
	// ShortName is the object's name, for metrics (destination_service_name).
	ShortName string
	Registry  string // Kubernetes, External
	Origin    Ref
}

// Port finds a port by number: the one for connections where there is one for datagrams too, as DNS servers have.
func (s *Service) Port(number uint16) (Port, bool) {
	var found Port
	ok := false
	for _, p := range s.Ports {
		if p.Number == number && (!ok || found.Protocol == UDP) {
			found, ok = p, true
		}
	}
	return found, ok
}

// Datagrams finds a port for datagrams by number.
func (s *Service) Datagrams(number uint16) (Port, bool) {
	for _, p := range s.Ports {
		if p.Number == number && p.Protocol == UDP {
			return p, true
		}
	}
	return Port{}, false
}

// Health of an endpoint.
type Health uint8

// The states. Draining endpoints get no new sessions.
const (
	Healthy Health = iota
	Unhealthy
	Draining
)

// Locality is where an endpoint runs.
type Locality struct{ Region, Zone, Subzone string }

// ParseLocality reads REGION/ZONE/SUBZONE, of which the end may be left out.
func ParseLocality(s string) (l Locality) {
	l.Region, s, _ = strings.Cut(s, "/")
	l.Zone, l.Subzone, _ = strings.Cut(s, "/")
	return l
}

// Endpoint is one address of a service on each of its ports.
type Endpoint struct {
	Address  Address
	Ports    map[string]uint16 // by service port name
	Labels   Labels
	Workload WorkloadID
	Identity identity.ID // zero when the endpoint has none
	Cluster  ClusterID
	Network  NetworkID
	Locality Locality
	Node     string // "" when it is not known
	Weight   uint32 // 0 means 1
	Health   Health
	// MTLS says that a proxy in front of the endpoint takes mutual TLS (label security.istio.io/tlsMode=istio).
	MTLS bool
	// Tunnel is the HBONE port, 0 for none.
	Tunnel uint16
	// Hostname is the endpoint's own name within a headless service (EndpointSlice.endpoints.hostname).
	Hostname string
	// Telemetry labels of the workload.
	App, Version, CanonicalService, CanonicalRevision, WorkloadName string
}

// EndpointSet is all endpoints of one service, ordered by address. It has its own table: churn rebuilds nothing else.
type EndpointSet struct {
	Service   ServiceID
	Endpoints []*Endpoint
}

// Workload is something that runs with a proxy of ours (or Envoy) or without: what inbound listeners and selectors are about.
type Workload struct {
	ID             WorkloadID
	Addresses      []netip.Addr
	Labels         Labels
	ServiceAccount string
	Identity       identity.ID
	Network        NetworkID
	Locality       Locality
	Node           string // "" when it is not known
	// Services that select the workload, ordered; with the ports by service port name.
	Services []WorkloadService
	Name     string // for telemetry: the controller's name
	Origin   Ref
}

// WorkloadService is one service that a workload serves.
type WorkloadService struct {
	Service ServiceID
	Ports   map[string]uint16 // service port name → port that the workload listens on
}
