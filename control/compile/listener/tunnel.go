package listener

import (
	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// tunneled puts connections to a host into the tunnel that its DestinationRule asks for. A proxy that cannot do so sends nothing there: what is inside would reach the host
// instead of the one behind it.
func tunneled(v *view.View, to *filter.Share, host mesh.Host, subset string, port uint16) {
	s, ok := v.Resolve(host)
	if !ok {
		return
	}
	rule := v.Traffic(s)
	t := v.Policy(rule, subset, port).Tunnel
	if t == nil {
		return
	}
	if needs := map[bool]mesh.Feature{false: mesh.FeatureTunnel, true: mesh.FeatureTunnelPost}[t.Post]; !v.Can(needs) {
		v.Notice(mesh.Problem{
			Object: rule.Origin, Field: "spec.trafficPolicy.tunnel", Code: mesh.CodeNotEnforced, Hint: "use protocol CONNECT, or Envoy",
			Message: "some connected proxies cannot ask for this tunnel: they close connections that it is for",
		})
		to.Cluster = view.BlackHoleCluster
		return
	}
	to.Tunnel = t
}

// together are shares of one rule. A proxy has one tunnel for all of them, so where they ask for different ones nothing is sent.
func together(v *view.View, shares []filter.Share, backends []mesh.Backend) []filter.Share {
	for _, s := range shares {
		if a, b := s.Tunnel, shares[0].Tunnel; (a == nil) != (b == nil) || a != nil && *a != *b {
			if service, ok := v.Resolve(backends[0].Host); ok && v.Traffic(service) != nil {
				v.Notice(mesh.Problem{
					Object: v.Traffic(service).Origin, Field: "spec.trafficPolicy.tunnel", Code: mesh.CodeNotEnforced, Hint: "use the same tunnel for all of them",
					Message: "a rule leads to destinations with different tunnels, or some without: connections are closed",
				})
			}
			return []filter.Share{{Cluster: view.BlackHoleCluster}}
		}
	}
	return shares
}
