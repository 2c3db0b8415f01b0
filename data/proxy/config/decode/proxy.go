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
		Pass: r.tlvTypes(path+".typed_config.pass_through_tlvs", m.GetPassThroughTlvs()),
	}
	if in.Proxy.NoV1 && in.Proxy.NoV2 {
		r.add(path+".typed_config.disallowed_versions", "no version is left")
	}
}

// tlvTypes reads which extensions pass.
func (r *read) tlvTypes(path string, m *corev3.ProxyProtocolPassThroughTLVs) *config.TLVTypes {
	if m == nil {
		return nil
	}
	t := &config.TLVTypes{All: m.GetMatchType() == corev3.ProxyProtocolPassThroughTLVs_INCLUDE_ALL}
	for i, n := range m.GetTlvType() {
		switch {
		case t.All:
			r.add(path+".match_type", "with INCLUDE_ALL every type passes, also others than tlv_type names")
			r.add(at(path, "tlv_type", i), "it counts with match_type INCLUDE only")
		case n > 255:
			r.add(at(path, "tlv_type", i), "%d is not a type from 0 to 255", n)
		default:
			if t.Some == nil {
				t.Some = map[uint8]bool{}
			}
			t.Some[uint8(n)] = true
		}
	}
	return t
}

// tlvs reads the extensions of the headers that a transport sends.
func (r *read) tlvs(path string, m *corev3.ProxyProtocolConfig) *config.ProxyTLVs {
	if m.GetPassThroughTlvs() == nil && len(m.GetAddedTlvs()) == 0 {
		return nil
	}
	out := &config.ProxyTLVs{Pass: r.tlvTypes(path+".pass_through_tlvs", m.GetPassThroughTlvs())}
	if m.GetVersion() == corev3.ProxyProtocolConfig_V1 {
		r.add(path+".version", "a header of version 1 has no extensions")
	}
	room := config.MaxTLVs
	for i, t := range m.GetAddedTlvs() {
		p := at(path, "added_tlvs", i)
		if t.GetType() > 255 {
			r.add(p+".type", "%d is not a type from 0 to 255", t.GetType())
		}
		if len(t.GetValue()) == 0 {
			r.add(p+".value", "it is empty")
		}
		if room -= 3 + len(t.GetValue()); room < 0 {
			r.add(p+".value", "the extensions have more than %d bytes", config.MaxTLVs)
		}
		out.Added = append(out.Added, config.TLV{Type: uint8(t.GetType()), Value: t.GetValue()})
	}
	return out
}

// transport reads the transport of a cluster: a PROXY header with its extensions, or none, before TLS or plain bytes.
func (r *read) transport(path string, m *corev3.TransportSocket) (proxy uint8, tlvs *config.ProxyTLVs, t *config.ClientTLS) {
	if !m.GetTypedConfig().MessageIs((*proxytransportv3.ProxyProtocolUpstreamTransport)(nil)) {
		return 0, nil, r.clientTLS(path, m)
	}
	p := path + ".typed_config"
	outer, ok := into[*proxytransportv3.ProxyProtocolUpstreamTransport](&r.problems, p, m.GetTypedConfig())
	if !ok {
		return 0, nil, nil
	}
	if outer.GetTransportSocket() == nil {
		r.add(p+".transport_socket", "it is missing")
	}
	versions := map[corev3.ProxyProtocolConfig_Version]uint8{corev3.ProxyProtocolConfig_V1: 1, corev3.ProxyProtocolConfig_V2: 2}
	if proxy, ok = versions[outer.GetConfig().GetVersion()]; !ok {
		r.add(p+".config.version", "%d is unknown", outer.GetConfig().GetVersion())
	}
	return proxy, r.tlvs(p+".config", outer.GetConfig()), r.clientTLS(p+".transport_socket", outer.GetTransportSocket())
}
