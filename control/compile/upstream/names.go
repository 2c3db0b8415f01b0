package upstream

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	dfpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dynamic_forward_proxy/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"

	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// clientNames has the host looked up that each request or connection names. heddle-proxy is told besides which hosts these may be, and where they may lead; stock Envoy goes by
// the routes and filter chains that lead here.
func (t *target) clientNames(v *view.View, c *clusterv3.Cluster) {
	sni, san := t.provedBy()
	c.ClusterDiscoveryType = &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{
		Name: "envoy.clusters.dynamic_forward_proxy", TypedConfig: message.Any(&dfpv3.ClusterConfig{
			ClusterImplementationSpecifier: &dfpv3.ClusterConfig_DnsCacheConfig{DnsCacheConfig: filter.ClientNames(t.service.ID.Host, v.Family())}, AllowInsecureClusterOptions: !sni || !san,
		}),
	}}
	says := message.Fields{"host": string(t.service.ID.Host)}
	if len(t.service.Local) > 0 {
		var allow []any
		for _, p := range t.service.Local {
			allow = append(allow, p.String())
		}
		says["allow"] = allow
	}
	message.Append(c.Metadata, message.AppendMetadata(nil, message.NamesKey, says))
}

// unknownNames takes requests to hosts that the mesh does not know, each to the host that it names (outboundTrafficPolicy ALLOW_ANY_DYNAMIC_DNS).
func unknownNames(v *view.View, name string) *clusterv3.Cluster {
	if !v.NamesUnknown() {
		return nil
	}
	s := v.Settings()
	t := target{
		service: &mesh.Service{ID: mesh.ServiceID{Host: mesh.AnyHost}, Resolution: mesh.ClientNames, External: true}, proto: mesh.Auto,
		policy: mesh.TrafficPolicy{Pool: s.Baseline.Pool, TLS: s.UnknownTLS},
	}
	switch tls := s.UnknownTLS; {
	case tls != nil && tls.Denied != "":
		return t.denied(v, name, tls.Denied)
	case tls != nil && tls.CRL != "" && !v.Can(mesh.FeatureRevocation):
		return t.denied(v, name, "this proxy cannot tell which certificates are revoked (caCrl)")
	}
	c := base(v, name)
	c.Metadata = message.Metadata(nil)
	t.clientNames(v, c)
	t.pool(c, nil)
	t.balancer(v, c)
	t.protocol(v, c)
	t.security(v, c)
	return c
}

// unnamed says why a service cannot be called by the names that clients give, "" if it can.
func (t *target) unnamed(v *view.View) string {
	if !v.Can(mesh.FeatureClientNames) {
		return "this proxy cannot look up the names that clients give (resolution DYNAMIC_DNS)"
	}
	if rule := t.policy.TLS; rule != nil && rule.Mode != mesh.TLSDisable && !t.proto.IsHTTP() {
		return "clients begin TLS themselves on this port, and only they know by which name the server must prove itself"
	}
	return ""
}

// provedBy says whether servers are asked for by the names that clients give, and must prove them: not where the rule says by what else they are known.
func (t *target) provedBy() (asked, proved bool) {
	rule := t.policy.TLS
	if t.service == nil || t.service.Resolution != mesh.ClientNames {
		return false, false
	}
	if rule == nil || rule.Mode == mesh.TLSDisable { // Envoy wants it said all the same
		return true, true
	}
	asked = rule.SNI == ""
	return asked, asked && rule.Mode != mesh.TLSIstioMutual && !rule.InsecureSkipVerify && len(rule.SubjectAltNames)+len(t.service.SubjectAltNames) == 0
}

// provesNames says so to the proxy.
func (t *target) provesNames(o *httpv3.HttpProtocolOptions) {
	if asked, proved := t.provedBy(); asked {
		o.UpstreamHttpProtocolOptions = &corev3.UpstreamHttpProtocolOptions{AutoSni: true, AutoSanValidation: proved}
	}
}
