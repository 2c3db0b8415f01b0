// Package endpoint compiles the endpoints of a cluster.
//
// In: a View and the cluster's name. Out: a ClusterLoadAssignment, grouped by locality, with what tells the client which endpoints take mutual TLS.
// Pure and safe for concurrent use.
package endpoint

import (
	"maps"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/heddle-mesh/heddle/control/compile/gate"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// Compile gives the endpoints of an outbound cluster, or nil when there is no such cluster.
func Compile(v *view.View, name string) *endpointv3.ClusterLoadAssignment {
	if to, ok := gate.SharesOf(v, name); ok {
		return datagramShares(v, name, to)
	}
	if name == view.BlackHoleCluster && v.Kind() == mesh.Proxyless { // of clusters to which nothing may be sent
		return &endpointv3.ClusterLoadAssignment{ClusterName: name}
	}
	c, ok := choose(v, name)
	if !ok {
		return nil
	}
	endpoints := slices.DeleteFunc(slices.Clone(v.Endpoints(c.service.ID)), func(e *mesh.Endpoint) bool { return !c.takes(e) })
	return Assignment(v, name, endpoints, c.service, c.port, nil, c.policy)
}

// chosen is what the name of a cluster says of its endpoints.
type chosen struct {
	service *mesh.Service
	port    mesh.Port
	subset  mesh.Labels
	policy  mesh.TrafficPolicy // what the client obeys
	bySNI   bool               // what is passed on is the mesh's mutual TLS, which only some can end
}

// takes says whether an endpoint is one of the cluster's, if it has the port.
func (c *chosen) takes(e *mesh.Endpoint) bool {
	return e.Health == mesh.Healthy && c.subset.Selects(e.Labels) && (e.MTLS || !c.bySNI)
}

func choose(v *view.View, name string) (c chosen, ok bool) {
	if port, host, ok := view.ParseDatagramName(name); ok {
		return datagrams(v, port, host)
	}
	port, subset, host, ok := view.ParseClusterName(name)
	if !ok {
		if port, subset, host, c.bySNI = view.ParseSNI(name); !c.bySNI {
			return c, false
		}
	}
	if c.service, ok = v.Resolve(host); !ok || c.service.Resolution != mesh.Static {
		return c, false
	}
	if c.port, ok = c.service.Port(port); !ok {
		return c, false
	}
	t := v.Traffic(c.service)
	if subset != "" {
		sub, ok := view.Subset(t, subset)
		if !ok {
			return c, false
		}
		c.subset = sub.Labels
	}
	c.policy = view.Policy(t, subset, port)
	return c, true
}

// Assignment encodes endpoints on one port of their service. policy is what the client obeys towards it.
func Assignment(v *view.View, name string, endpoints []*mesh.Endpoint, s *mesh.Service, p mesh.Port, subset mesh.Labels, policy mesh.TrafficPolicy) *endpointv3.ClusterLoadAssignment {
	near, failover := v.Nearness(s, policy)
	groups := map[place]*group{}
	for _, e := range endpoints {
		if e.Health != mesh.Healthy || !subset.Selects(e.Labels) {
			continue
		}
		if e.Address.Kind() == mesh.AddrUnix && v.Kind() == mesh.Proxyless {
			continue // gRPC refuses assignments with other than TCP addresses (gRFC A27)
		}
		number := PortOf(e, p)
		if number == 0 && e.Address.Kind() != mesh.AddrUnix {
			continue
		}
		g := groupOf(v, groups, nil, near, failover, e)
		g.weight += max(e.Weight, 1)
		g.endpoints = append(g.endpoints, lbEndpoint(e, number))
	}
	ordered := slices.SortedFunc(maps.Values(groups), comparePlaces)
	if near != nil {
		ordered = arrange(v, near, failover, ordered)
	}
	out := &endpointv3.ClusterLoadAssignment{ClusterName: name}
	for _, g := range ordered {
		out.Endpoints = append(out.Endpoints, &endpointv3.LocalityLbEndpoints{
			Locality:    &corev3.Locality{Region: g.locality.Region, Zone: g.locality.Zone, SubZone: g.locality.Subzone},
			LbEndpoints: g.endpoints, LoadBalancingWeight: message.UInt32(g.weight), Priority: g.priority,
		})
	}
	return out
}

// groupOf is the group of an endpoint, made if need be. last is that of the endpoint before, which it nearly always is.
func groupOf(v *view.View, groups map[place]*group, last *group, near *mesh.LocalityBalance, failover bool, e *mesh.Endpoint) *group {
	at := place{locality: e.Locality}
	if failover && len(near.Distribute) == 0 {
		at.behind = behind(v, near.Labels, e)
	}
	if last != nil && last.place == at {
		return last
	}
	g := groups[at]
	if g == nil {
		g = &group{place: at}
		groups[at] = g
	}
	return g
}

// PortOf is the number that an endpoint listens on for a service port, 0 when it does not serve the port.
func PortOf(e *mesh.Endpoint, p mesh.Port) uint16 {
	if n, ok := e.Ports[p.Name]; ok {
		return n
	}
	if len(e.Ports) > 0 {
		return 0
	}
	if p.TargetPort != 0 {
		return p.TargetPort
	}
	return p.Number
}

func lbEndpoint(e *mesh.Endpoint, port uint16) *endpointv3.LbEndpoint {
	md := map[string]*structpb.Struct{}
	if described(e) {
		md[istioKey] = message.Struct(map[string]any{"workload": Workload(e)})
	}
	if e.MTLS {
		md[matchKey] = message.Struct(map[string]any{"tlsMode": "istio"})
	}
	return &endpointv3.LbEndpoint{
		HostIdentifier:      &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: message.At(e.Address, port)}},
		Metadata:            &corev3.Metadata{FilterMetadata: md},
		LoadBalancingWeight: message.UInt32(max(e.Weight, 1)),
		HealthStatus:        corev3.HealthStatus_HEALTHY,
	}
}

// described says whether anything is known of the workload.
func described(e *mesh.Endpoint) bool { return e.WorkloadName != "" || e.Workload.Namespace != "" }

// Workload is Istio's short form for telemetry: WORKLOAD;NAMESPACE;CANONICAL-SERVICE;CANONICAL-REVISION;CLUSTER.
func Workload(e *mesh.Endpoint) string {
	return strings.ToValidUTF8(e.WorkloadName+";"+string(e.Workload.Namespace)+";"+e.CanonicalService+";"+e.CanonicalRevision+";"+string(e.Cluster), "\uFFFD")
}
