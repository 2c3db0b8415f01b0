package endpoint

import (
	"maps"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// localPort stands in the endpoints that nobody calls.
const localPort = 1

// localCluster are the workloads that do the same work as the proxy's, itself included: those of its services, each once, in the localities of its region. Only how many there are
// where counts. Without any service nobody is known.
func localCluster(v *view.View) *endpointv3.ClusterLoadAssignment {
	groups, seen := map[mesh.Locality]*endpointv3.LocalityLbEndpoints{}, map[mesh.Address]bool{}
	for _, s := range v.Served() {
		for _, e := range v.Endpoints(s.Service) {
			if e.Health != mesh.Healthy || seen[e.Address] || e.Address.Kind() != mesh.AddrIP || !v.Like(e) {
				continue
			}
			seen[e.Address] = true
			g := groups[e.Locality]
			if g == nil {
				g = &endpointv3.LocalityLbEndpoints{Locality: &corev3.Locality{Region: e.Locality.Region, Zone: e.Locality.Zone, SubZone: e.Locality.Subzone}}
				groups[e.Locality] = g
			}
			g.LbEndpoints = append(g.LbEndpoints, &endpointv3.LbEndpoint{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: message.At(e.Address, localPort)}}, HealthStatus: corev3.HealthStatus_HEALTHY,
			})
		}
	}
	out := &endpointv3.ClusterLoadAssignment{ClusterName: view.LocalCluster}
	for _, l := range slices.SortedFunc(maps.Keys(groups), func(a, b mesh.Locality) int {
		return comparePlaces(&group{place: place{locality: a}}, &group{place: place{locality: b}})
	}) {
		out.Endpoints = append(out.Endpoints, groups[l])
	}
	return out
}
