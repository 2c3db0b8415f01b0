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
		near = &mesh.LocalityBalance{}
	}
	if near.Off {
		return nil, false
	}
	if lb != nil && lb.Hash != nil && len(near.Distribute) > 0 && !v.Can(mesh.FeatureBalance) { // it has one ring for all localities
		return nil, false
	}
	return near, p.Outlier != nil
}

// SameNode says whether an endpoint runs on the proxy's node; where that is not known it does not.
func (v *View) SameNode(e *mesh.Endpoint) bool {
	node := e.Node
	if node == "" {
		node = e.Labels[mesh.LabelHostname]
	}
	return node != "" && v.LabelIs(mesh.LabelHostname, node)
}
