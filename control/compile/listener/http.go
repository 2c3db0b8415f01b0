package listener

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// serverName is what Istio's proxies call themselves in the server header.
const serverName = "istio-envoy"

// manager is an HTTP connection manager in one of its three roles: outbound of a sidecar (the default), inbound of a sidecar, edge of the mesh.
type manager struct {
	statPrefix string
	route      string                      // a route configuration by name, or
	inline     *routev3.RouteConfiguration // in place
	inbound    bool
	edge       bool
	guard      filter.Guard
	mutual     bool // the mesh's TLS ends here
	strangers  bool // clients whose certificates nobody has verified
}

// side is the side of the traffic, as Telemetry has it.
func (m *manager) side() mesh.Side {
	if m.inbound {
		return mesh.ServerSide
	}
	return mesh.ClientSide
}

func (m *manager) filter(v *view.View) *listenerv3.Filter {
	s := v.Settings()
	c := &hcmv3.HttpConnectionManager{
		StatPrefix: m.statPrefix, CodecType: hcmv3.HttpConnectionManager_AUTO, AccessLog: filter.AccessLog(v, m.side()),
		UseRemoteAddress: message.False(), StreamIdleTimeout: message.Duration(0),
		UpgradeConfigs: []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
	}
	own := v.ProxyConfig()
	paths(c, s.Paths)
	bounds(c, own.Connections)
	if !v.Can(mesh.FeatureHTTP2) {
		c.CodecType = hcmv3.HttpConnectionManager_HTTP1
	}
	m.headers(c, own)
	filter.Trace(v, m.side(), c)
	if m.inline != nil {
		c.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: m.inline}
	} else {
		c.RouteSpecifier = &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{ConfigSource: message.ADS(), RouteConfigName: m.route}}
	}
	c.HttpFilters = m.guard.HTTP()
	if !m.inbound && v.Can(mesh.FeatureFault) {
		c.HttpFilters = append(c.HttpFilters, filter.Fault())
	}
	if !m.inbound && v.Can(mesh.FeatureCORS) {
		c.HttpFilters = append(c.HttpFilters, filter.CORS())
	}
	if !m.inbound && v.Can(mesh.FeatureExternalAuth) {
		c.HttpFilters = append(c.HttpFilters, filter.Checks())
	}
	if !m.inbound {
		for s := range v.ClientNames() {
			c.HttpFilters = append(c.HttpFilters, filter.Lookup(filter.ClientNames(s.ID.Host, v.Family())))
		}
		if v.NamesUnknown() {
			c.HttpFilters = append(c.HttpFilters, filter.Lookup(filter.ClientNames(mesh.AnyHost, v.Family())))
		}
	}
	if !m.inbound && v.Can(mesh.FeatureSession) {
		c.HttpFilters = append(c.HttpFilters, filter.Session())
	}
	c.HttpFilters = append(c.HttpFilters, filter.Router(own.NoDebugHeaders))
	filter.TellHTTP(v, c, m.side(), m.mutual)
	return filter.Manager(c)
}

// paths says into which form paths are brought; a waypoint of one form and a sidecar of another would not judge the same, so it is the mesh's affair.
func paths(c *hcmv3.HttpConnectionManager, form mesh.PathForm) {
	c.NormalizePath, c.PathWithEscapedSlashesAction = message.True(), hcmv3.HttpConnectionManager_KEEP_UNCHANGED
	switch form {
	case mesh.PathsAsTheyAre:
		c.NormalizePath = message.False()
	case mesh.DecodeSlashes:
		c.PathWithEscapedSlashesAction, c.MergeSlashes = hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD, true
	case mesh.MergeSlashes:
		c.MergeSlashes = true
	}
}

// ownRoute sends every request to one cluster: the inbound side of a sidecar.
func ownRoute(name, vhost, cluster, operation string, retry *routev3.RetryPolicy) *routev3.RouteConfiguration {
	r := &routev3.Route{
		Name: "default", Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster}, Timeout: message.Duration(0), RetryPolicy: retry,
		}},
	}
	if operation != "" {
		r.Decorator = &routev3.Decorator{Operation: operation}
	}
	return &routev3.RouteConfiguration{
		Name: name, ValidateClusters: message.False(),
		VirtualHosts: []*routev3.VirtualHost{{Name: vhost, Domains: []string{"*"}, Routes: []*routev3.Route{r}}},
	}
}
