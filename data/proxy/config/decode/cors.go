package decode

import (
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

func (r *read) cors(path string, m *corsv3.CorsPolicy) *config.CORS {
	c := &config.CORS{
		Share: 1_000_000, Methods: m.GetAllowMethods(), Headers: m.GetAllowHeaders(), Expose: m.GetExposeHeaders(), MaxAge: m.GetMaxAge(),
		Credentials: optional(m.GetAllowCredentials()), PrivateNetwork: optional(m.GetAllowPrivateNetworkAccess()), Forward: optional(m.GetForwardNotMatchingPreflights()),
	}
	for i, o := range m.GetAllowOriginStringMatch() {
		if match := r.stringMatch(at(path, "allow_origin_string_match", i), o); match != nil {
			c.Origins = append(c.Origins, match)
		}
	}
	if f := m.GetFilterEnabled(); f != nil {
		c.Share = r.share(path+".filter_enabled.default_value", f.GetDefaultValue())
	}
	return c
}

// inheritCORS completes the policies of a route and its clusters: Envoy looks for each setting from the most special policy to that of the virtual host.
func inheritCORS(h *config.VirtualHost, route *config.Route) {
	route.PerFilter.CORS = route.PerFilter.CORS.Over(h.PerFilter.CORS)
	if route.Forward == nil {
		return
	}
	for i := range route.Forward.Weighted {
		p := &route.Forward.Weighted[i].PerFilter
		p.CORS = p.CORS.Over(route.PerFilter.CORS)
	}
}

func optional(b *wrapperspb.BoolValue) *bool {
	if b == nil {
		return nil
	}
	return &b.Value
}
