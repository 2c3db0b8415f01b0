// Package endpoint compiles the endpoints of a cluster.
//
// In: a View and the cluster's name. Out: a ClusterLoadAssignment, grouped by locality, with what tells the client which endpoints take mutual TLS.
// Pure and safe for concurrent use.
package endpoint

import (
	"cmp"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// Compile gives the endpoints of an outbound cluster, or nil when there is no such cluster.
func Compile(v *view.View, name string) *endpointv3.ClusterLoadAssignment {
	port, subset, host, ok := view.ParseClusterName(name)
	if !ok {
		return nil
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
	return Assignment(v, name, v.Endpoints(s.ID), p, labels, Failover(t, subset, port))
}

// Failover says whether nearer localities go first: Istio does that only where outlier detection can tell that they have failed.
func Failover(t *mesh.Traffic, subset string, port uint16) bool {
	return view.Policy(t, subset, port).Outlier != nil
}

// Assignment encodes endpoints on one port of their service.
func Assignment(v *view.View, name string, endpoints []*mesh.Endpoint, p mesh.Port, subset mesh.Labels, failover bool) *endpointv3.ClusterLoadAssignment {
	type group struct {
		weight    uint32
		endpoints []*endpointv3.LbEndpoint
	}
	groups := map[mesh.Locality]*group{}
	for _, e := range endpoints {
		if e.Health != mesh.Healthy || !subset.Selects(e.Labels) {
			continue
		}
		number := PortOf(e, p)
		if number == 0 && e.Address.Kind() != mesh.AddrUnix {
			continue
		}
		g := groups[e.Locality]
		if g == nil {
			g = &group{}
			groups[e.Locality] = g
		}
		g.weight += max(e.Weight, 1)
		g.endpoints = append(g.endpoints, lbEndpoint(e, number))
	}
	out := &endpointv3.ClusterLoadAssignment{ClusterName: name}
	localities := make([]mesh.Locality, 0, len(groups))
	for l := range groups {
		localities = append(localities, l)
	}
	slices.SortFunc(localities, compareLocality)
	ranks := map[int]uint32{}
	if failover && len(localities) > 1 {
		ranks = priorities(v, localities)
	}
	for _, l := range localities {
		locality := &endpointv3.LocalityLbEndpoints{LbEndpoints: groups[l].endpoints, LoadBalancingWeight: message.UInt32(groups[l].weight)}
		locality.Locality = &corev3.Locality{Region: l.Region, Zone: l.Zone, SubZone: l.Subzone}
		if len(ranks) > 0 {
			locality.Priority = ranks[v.LocalityRank(l)]
		}
		out.Endpoints = append(out.Endpoints, locality)
	}
	return out
}

// priorities maps ranks to priorities without gaps, which Envoy asks for.
func priorities(v *view.View, localities []mesh.Locality) map[int]uint32 {
	var ranks []int
	for _, l := range localities {
		ranks = append(ranks, v.LocalityRank(l))
	}
	slices.Sort(ranks)
	out := map[int]uint32{}
	for i, r := range slices.Compact(ranks) {
		out[r] = uint32(i)
	}
	return out
}

func compareLocality(a, b mesh.Locality) int {
	return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Subzone, b.Subzone))
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
