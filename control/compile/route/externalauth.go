package route

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/mesh"
)

// guarded has servers asked about the requests of a route. Where that cannot be, nothing goes on.
func (p place) guarded(out *routev3.Route, origin mesh.Ref, rule *mesh.HTTPRule) {
	if len(rule.Auth) == 0 {
		return
	}
	for i := range rule.Auth {
		if rule.Auth[i].Backend.Invalid != "" {
			p.closed(out)
			return
		}
	}
	if p.v.Kind() == mesh.Proxyless || !p.v.Can(mesh.FeatureExternalAuth) {
		p.closed(out)
		who := "some connected proxies cannot"
		if p.v.Kind() == mesh.Proxyless {
			who = "connected gRPC clients without a proxy do not"
		}
		p.v.Notice(mesh.Problem{Object: origin, Field: "spec.rules.filters", Code: mesh.CodeNotEnforced, Message: who + " ask a server about requests, so there the rule answers 500", Hint: "upgrade them, or give these clients a sidecar"})
		return
	}
	if out.TypedPerFilterConfig == nil {
		out.TypedPerFilterConfig = map[string]*anypb.Any{}
	}
	name, config := filter.ExternalAuths(rule.Auth, p.cluster)
	out.TypedPerFilterConfig[name] = config
}

// closed answers every request of a route itself.
func (p place) closed(out *routev3.Route) {
	out.Action, out.Decorator = direct(500, nil), nil
}
