package view

import "github.com/heddle-mesh/heddle/mesh"

// Nearness is how the localities of endpoints count for requests to a service under a policy: nil when they do not. Istio puts endpoints in order only where outlier
// detection can tell that nearer ones have failed, or where the Service itself asks for it. What a DestinationRule says counts alone, then the Service, then the mesh.
func (v *View) Nearness(s *mesh.Service, p mesh.TrafficPolicy) (near *mesh.LocalityBalance, failover bool) {
	lb := p.LoadBalancer
	switch near = v.Settings().Locality; {
	case lb != nil && lb.Locality != nil:
		near = lb.Locality
	case s.Near != mesh.Anywhere:
		return mesh.Nearest(s.Near), true
	case near == nil:
		near = anyhow
	}
	if near.Off || near.Zoned && !v.Can(mesh.FeatureLocalCluster) {
		return nil, false
	}
	if lb != nil && lb.Hash != nil && len(near.Distribute) > 0 && !v.Can(mesh.FeatureBalance) { // it has one ring for all localities
		return nil, false
	}
	return near, p.Outlier != nil || near.Zoned
}

// anyhow is a mesh that says nothing.
var anyhow = &mesh.LocalityBalance{}

// SameNode says whether an endpoint runs on the proxy's node; where that is not known it does not.
func (v *View) SameNode(e *mesh.Endpoint) bool {
	node := e.Node
	if node == "" {
		node = e.Labels[mesh.LabelHostname]
	}
	return node != "" && v.LabelIs(mesh.LabelHostname, node)
}

// Zones says whether requests to a service are to stay in the client's zone under a policy, for clients that know where their like run.
func (v *View) Zones(s *mesh.Service, p mesh.TrafficPolicy) bool {
	near := v.Settings().Locality
	if lb := p.LoadBalancer; lb != nil && lb.Locality != nil {
		near = lb.Locality
	} else if s.Near != mesh.Anywhere {
		return false
	}
	return near != nil && near.Zoned && !near.Off
}

// Like says whether an endpoint is of those that do the same work as the proxy, in its region: of the same ReplicaSet, where that is known of the proxy's own (Istio's rule).
func (v *View) Like(e *mesh.Endpoint) bool {
	if v.LocalityRank(e.Locality) > 2 {
		return false
	}
	for _, key := range likeness {
		if !v.LabelIs(key, "") && !v.LabelIs(key, e.Labels[key]) {
			return false
		}
	}
	return true
}

// likeness are the labels by which the pods of one version of a workload are known.
var likeness = []string{"pod-template-hash", "rollouts-pod-template-hash"}
