package patch

import (
	"fmt"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// Cluster is a cluster with the patches that are for it; nil when there is none. c is what was compiled under the name, nil for nothing.
func Cluster(v *view.View, name string, c *clusterv3.Cluster) *clusterv3.Cluster {
	patches := v.Patches(view.Clusters, name)
	if len(patches) == 0 {
		return c
	}
	r := &run{v: v, context: clusterContext(v, name)}
	if c == nil {
		return added(r, patches, value[clusterv3.Cluster])
	}
	for _, p := range patches {
		if adds(p) {
			taken(v, p, "cluster")
		}
	}
	out, ok := apply(r, c, patches, kind[*clusterv3.Cluster]{change: r.cluster, shut: r.shutCluster, check: checkCluster})
	if !ok {
		return nil
	}
	return out
}

// clusterContext is the side of the traffic that a cluster is on.
func clusterContext(v *view.View, name string) mesh.PatchContext {
	if v.Kind() == mesh.Router {
		return mesh.PatchGateway
	}
	if _, ok := view.ParseInboundName(name); ok || name == view.InboundPassthroughCluster {
		return mesh.PatchInbound
	}
	return mesh.PatchOutbound
}

func (r *run) cluster(c *clusterv3.Cluster, p *mesh.Patch) (outcome, error) {
	if adds(p) || !r.in(p) || !serves(c, p) {
		return missed, nil
	}
	if p.Operation == mesh.PatchRemove {
		return removed, nil
	}
	from := value[clusterv3.Cluster](p)
	if from.Name != "" && from.Name != c.Name {
		return changed, errRenamed
	}
	if s := from.TransportSocket; s != nil && len(c.TransportSocketMatches) > 0 {
		i := slices.IndexFunc(c.TransportSocketMatches, func(m *clusterv3.Cluster_TransportSocketMatch) bool {
			return m.GetTransportSocket().GetName() == s.GetName()
		})
		if i < 0 {
			return changed, fmt.Errorf("the cluster chooses its transport socket for each endpoint, and none of them is %s", s.GetName())
		}
		if err := r.mergeValue(p, c.TransportSocketMatches[i].TransportSocket, s); err != nil {
			return changed, err
		}
		from.TransportSocket = nil
	}
	return changed, r.mergeValue(p, c, from)
}

// checkCluster says what would be of no effect: Envoy counts the first thresholds of a priority only, and heddle-proxy refuses others.
func checkCluster(c *clusterv3.Cluster) error {
	seen := map[corev3.RoutingPriority]bool{}
	for _, t := range c.GetCircuitBreakers().GetThresholds() {
		if seen[t.GetPriority()] {
			return fmt.Errorf("circuit_breakers.thresholds of priority %s are there twice, and the second ones never count; use MERGE_AND_REPLACE_LIST", t.GetPriority())
		}
		seen[t.GetPriority()] = true
	}
	return nil
}

// serves compares the service of the match with those of an inbound cluster, which are not in its name.
func serves(c *clusterv3.Cluster, p *mesh.Patch) bool {
	if _, inbound := view.ParseInboundName(c.Name); !inbound || p.Match.Service == "" {
		return true
	}
	for _, s := range c.GetMetadata().GetFilterMetadata()[message.IstioKey].GetFields()["services"].GetListValue().GetValues() {
		if s.GetStructValue().GetFields()["host"].GetStringValue() == p.Match.Service {
			return true
		}
	}
	return false
}

// shutCluster leaves a cluster without endpoints.
func (r *run) shutCluster(c *clusterv3.Cluster, p *mesh.Patch) (again func(*clusterv3.Cluster)) {
	if adds(p) || !r.in(p) || !serves(c, p) {
		return func(*clusterv3.Cluster) {}
	}
	closeCluster(c, p)
	return func(c *clusterv3.Cluster) { closeCluster(c, p) }
}

func closeCluster(c *clusterv3.Cluster, p *mesh.Patch) {
	name, timeout := c.Name, c.ConnectTimeout
	c.Reset()
	c.Name, c.ConnectTimeout, c.ClusterDiscoveryType = name, timeout, &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	c.Metadata = message.MetadataOf(map[string]message.Fields{
		message.IstioKey: nil, message.DeniedKey: {"reason": p.Origin.String() + " secures the connection in a way that this proxy is not given"},
	})
}
