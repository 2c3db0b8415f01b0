package decode

import (
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	proxytransportv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// proxyHeader reads the listener filter for PROXY headers.
func (r *read) proxyHeader(path string, m *proxyprotocolv3.ProxyProtocol, in *config.Inspect) {
	switch {
	case in.Proxy != nil:
		r.add(path, "a connection has one PROXY header, and an earlier filter reads it")
	case in.TLS || in.HTTP:
		r.add(path, "the PROXY header comes first, so this filter must come before the inspectors")
	}
	not := func(v corev3.ProxyProtocolConfig_Version) bool { return slices.Contains(m.GetDisallowedVersions(), v) }
	in.Proxy = &config.ProxyHeader{
		Optional: m.GetAllowRequestsWithoutProxyProtocol(), NoV1: not(corev3.ProxyProtocolConfig_V1), NoV2: not(corev3.ProxyProtocolConfig_V2), Stat: m.GetStatPrefix(),
	}
	if in.Proxy.NoV1 && in.Proxy.NoV2 {
		r.add(path+".typed_config.disallowed_versions", "no version is left")
	}
}

// transport reads the transport of a cluster: a PROXY header, or none, before TLS or plain bytes.
func (r *read) transport(path string, m *corev3.TransportSocket) (proxy uint8, t *config.ClientTLS) {
	if !m.GetTypedConfig().MessageIs((*proxytransportv3.ProxyProtocolUpstreamTransport)(nil)) {
		return 0, r.clientTLS(path, m)
	}
	p := path + ".typed_config"
	outer, ok := into[*proxytransportv3.ProxyProtocolUpstreamTransport](&r.problems, p, m.GetTypedConfig())
	if !ok {
		return 0, nil
	}
	if outer.GetTransportSocket() == nil {
		r.add(p+".transport_socket", "it is missing")
	}
	versions := map[corev3.ProxyProtocolConfig_Version]uint8{corev3.ProxyProtocolConfig_V1: 1, corev3.ProxyProtocolConfig_V2: 2}
	if proxy, ok = versions[outer.GetConfig().GetVersion()]; !ok {
		r.add(p+".config.version", "%d is unknown", outer.GetConfig().GetVersion())
	}
	return proxy, r.clientTLS(p+".transport_socket", outer.GetTransportSocket())
}
