// Package endpoint compiles the endpoints of a cluster.
//
// In: a View and the cluster's name. Out: a ClusterLoadAssignment, grouped by locality, with what tells the client which endpoints take mutual TLS.
// Pure and safe for concurrent use.
package endpoint

import (
	"maps"
	"slices"

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
	if port, host, ok := view.ParseDatagramName(name); ok {
		return datagrams(v, name, port, host)
	}
	if to, ok := gate.SharesOf(v, name); ok {
		return datagramShares(v, name, to)
	}
	port, subset, host, ok := view.ParseClusterName(name)
	bySNI := false
	if !ok {
		if port, subset, host, bySNI = view.ParseSNI(name); !bySNI {
			return nil
		}
	}
	s, ok := v.Resolve(host)
	if !ok || s.Resolution != mesh.Static {
		return nil
	}
	p, ok := s.Port(port)
	if !ok {
		return nil
	}
	t := v.Traffic(s)
	var labels mesh.Labels
	if subset != "" {
		sub, ok := view.Subset(t, subset)
		if !ok {
			return nil
		}
		labels = sub.Labels
	}
	endpoints := v.Endpoints(s.ID)
	if bySNI { // what is passed on is the mesh's mutual TLS, which only some can end
		endpoints = slices.DeleteFunc(slices.Clone(endpoints), func(e *mesh.Endpoint) bool { return !e.MTLS })
	}
	return Assignment(v, name, endpoints, s, p, labels, view.Policy(t, subset, port))
}

// Assignment encodes endpoints on one port of their service. policy is what the client obeys towards it.
func Assignment(v *view.View, name string, endpoints []*mesh.Endpoint, s *mesh.Service, p mesh.Port, subset mesh.Labels, policy mesh.TrafficPolicy) *endpointv3.ClusterLoadAssignment {
	near, failover := v.Nearness(s, policy)
	groups := map[place]*group{}
	for _, e := range endpoints {
		if e.Health != mesh.Healthy || !subset.Selects(e.Labels) {
			continue
		}
		number := PortOf(e, p)
		if number == 0 && e.Address.Kind() != mesh.AddrUnix {
			continue
		}
		at := place{locality: e.Locality}
		if failover && len(near.Distribute) == 0 {
			at.behind = behind(v, near.Labels, e)
		}
		g := groups[at]
		if g == nil {
			g = &group{place: at}
			groups[at] = g
		}
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
	if e.WorkloadName != "" || e.Workload.Namespace != "" {
		md["istio"] = message.Struct(map[string]any{"workload": Workload(e)})
	}
	if e.MTLS {
		md["envoy.transport_socket_match"] = message.Struct(map[string]any{"tlsMode": "istio"})
	}
	return &endpointv3.LbEndpoint{
		HostIdentifier:      &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: message.At(e.Address, port)}},
		Metadata:            &corev3.Metadata{FilterMetadata: md},
		LoadBalancingWeight: message.UInt32(max(e.Weight, 1)),
		HealthStatus:        corev3.HealthStatus_HEALTHY,
	}
}

// Workload is Istio's short form for telemetry: WORKLOAD;NAMESPACE;CANONICAL-SERVICE;CANONICAL-REVISION;CLUSTER.
func Workload(e *mesh.Endpoint) string {
	return e.WorkloadName + ";" + string(e.Workload.Namespace) + ";" + e.CanonicalService + ";" + e.CanonicalRevision + ";" + string(e.Cluster)
}
