package upstream

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// zones says whether the proxy keeps requests in its zone. One that knows where its like run does so by itself wherever it is not told otherwise; one that does not know cannot.
func (t *target) zones(v *view.View, c *clusterv3.Cluster, near *mesh.LocalityBalance) {
	asked := v.Zones(t.service, t.policy)
	if !v.Can(mesh.FeatureLocalCluster) {
		if asked {
			t.unzoned(v, "some connected proxies do not ask where their like run, so endpoints of all regions count alike there", "start them with ISTIO_META_ENABLE_SELF_DISCOVERY: \"true\" in proxyMetadata")
		}
		return
	}
	switch lb := t.policy.LoadBalancer; {
	case c.LbPolicy == clusterv3.Cluster_RING_HASH || c.LbPolicy == clusterv3.Cluster_MAGLEV:
		return
	case lb != nil && lb.Utilization != nil: // stock Envoy's policy keeps requests in the zone and cannot be told otherwise, but by weights, which are the numbers of endpoints
		c.CommonLbConfig.LocalityConfigSpecifier = &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig_{LocalityWeightedLbConfig: &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig{}}
		return
	}
	z := &clusterv3.Cluster_CommonLbConfig_ZoneAwareLbConfig{}
	c.CommonLbConfig.LocalityConfigSpecifier = &clusterv3.Cluster_CommonLbConfig_ZoneAwareLbConfig_{ZoneAwareLbConfig: z}
	if near == nil || !near.Zoned {
		z.RoutingEnabled = &typev3.Percent{}
		return
	}
	if near.Least > 0 {
		z.MinClusterSize = wrapperspb.UInt64(uint64(near.Least))
	}
	if !v.Placed() {
		t.unzoned(v, "some connected proxies do not know in which zone they run, so all zones of their region count alike there", "give their pods the label istio-locality: REGION.ZONE.SUBZONE")
	}
}

func (t *target) unzoned(v *view.View, message, hint string) {
	p := mesh.Problem{Object: t.origin(), Field: "spec.trafficPolicy.loadBalancer.zoneAwareLbSetting", Code: mesh.CodeNotEnforced, Message: message, Hint: hint}
	if lb := t.policy.LoadBalancer; lb == nil || lb.Locality == nil {
		p.Object, p.Field = mesh.Ref{Kind: "MeshConfig", Name: "zoneAwareLbSetting"}, "zoneAwareLbSetting"
	}
	v.Notice(p)
}
