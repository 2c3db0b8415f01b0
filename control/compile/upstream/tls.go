package upstream

import (
	"cmp"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// systemRoots is where Debian and most images keep the public certificate authorities; Istio's agent uses the same place.
const systemRoots = "/etc/ssl/certs/ca-certificates.crt"

// security sets the transport: what the DestinationRule says, else mutual TLS with every endpoint that takes it (auto-mTLS).
func (t *target) security(v *view.View, c *clusterv3.Cluster) {
	if !t.transport(v, c) && t.policy.Proxy != 0 {
		c.TransportSocket = t.announced(raw)
	}
}

// transport says whether there is one.
func (t *target) transport(v *view.View, c *clusterv3.Cluster) bool {
	rule := t.policy.TLS
	if rule == nil {
		if !t.meshed(v, c) {
			return false
		}
		if c.GetType() == clusterv3.Cluster_ORIGINAL_DST {
			c.TransportSocket = t.announced(message.Raw[corev3.TransportSocket](t.appendMutual(v.Scratch(mutualSize), v, nil)))
			return true
		}
		message.Extend(c, v.Scratch(mutualSize+256), func(b []byte) []byte { return t.appendMatches(b, v) })
		return true
	}
	switch rule.Mode {
	case mesh.TLSDisable:
		return false
	case mesh.TLSIstioMutual:
		c.TransportSocket = t.announced(message.Raw[corev3.TransportSocket](t.appendMutual(v.Scratch(mutualSize), v, rule)))
	default:
		c.TransportSocket = t.announced(socket(t.originate(v, rule)))
	}
	return true
}

// meshed says whether the mesh's mutual TLS is spoken with servers: with all of them, or with those that take it. In a cluster without endpoints of its own no endpoint can be told from
// another, so all must take it.
func (t *target) meshed(v *view.View, c *clusterv3.Cluster) bool {
	if t.service == nil {
		return false
	}
	if rule := t.policy.TLS; rule != nil {
		return rule.Mode == mesh.TLSIstioMutual
	}
	if !v.Settings().AutoMTLS || t.service.External || t.service.Resolution == mesh.ClientNames {
		return false
	}
	if c.GetType() != clusterv3.Cluster_ORIGINAL_DST {
		return true
	}
	endpoints := v.Endpoints(t.service.ID)
	return len(endpoints) > 0 && !slices.ContainsFunc(endpoints, func(e *mesh.Endpoint) bool { return !e.MTLS })
}

func socket(ctx *tlsv3.UpstreamTlsContext) *corev3.TransportSocket {
	return &corev3.TransportSocket{Name: tlsSocket, ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: message.Any(ctx)}}
}

// alternatives accepts any of the names: URIs, SPIFFE identities among them, and DNS names.
func alternatives(names []string) []*tlsv3.SubjectAltNameMatcher {
	var out []*tlsv3.SubjectAltNameMatcher
	for _, n := range names {
		out = append(out, &tlsv3.SubjectAltNameMatcher{SanType: kindOf(n), Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: n}}})
	}
	return out
}

// aliases adds the same identities in other trust domains that count like the mesh's own.
func aliases(names, domains []string) []string {
	for _, name := range slices.Clone(names) {
		rest, spiffe := strings.CutPrefix(name, "spiffe://")
		_, path, ok := strings.Cut(rest, "/")
		if !spiffe || !ok {
			continue
		}
		for _, domain := range domains {
			if other := "spiffe://" + domain + "/" + path; !slices.Contains(names, other) {
				names = append(names, other)
			}
		}
	}
	return names
}

// originate is TLS to a server outside of the mesh (SIMPLE, MUTUAL). Without names of its own the server must prove the name that it is asked for.
func (t *target) originate(v *view.View, rule *mesh.ClientTLS) *tlsv3.UpstreamTlsContext {
	sni := rule.SNI
	if sni == "" && !t.service.ID.Host.IsWildcard() {
		sni = string(t.service.ID.Host)
	}
	names := rule.SubjectAltNames
	if len(names) == 0 {
		names = t.service.SubjectAltNames
	}
	if len(names) == 0 && sni != "" && !v.Settings().Unverified {
		names = []string{sni}
	}
	common := &tlsv3.CommonTlsContext{
		TlsParams: message.TLSParams(v.Settings().TLS),
	}
	if t.proto == mesh.HTTP2 || t.proto == mesh.GRPC {
		common.AlpnProtocols = []string{"h2"}
	}
	check := &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: alternatives(names)}
	switch {
	case rule.InsecureSkipVerify:
	case v.Settings().Unverified && rule.CACertificates+rule.CredentialName+rule.CACredential == "" && len(rule.Roots)+len(names) == 0:
	case rule.CACredential != "" || rule.CredentialName != "" && len(rule.Roots) == 0:
		common.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext:         check,
				ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: v.CredentialName(cmp.Or(rule.CACredential, rule.CredentialName)) + view.RootsSuffix, SdsConfig: message.ADS()},
			},
		}
	default:
		file := rule.CACertificates
		if file == "" || file == "system" {
			file = systemRoots
		}
		check.TrustedCa = &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: file}}
		if len(rule.Roots) > 0 {
			check.TrustedCa = &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: rule.Roots}}
		}
		if len(rule.Revoked) > 0 {
			check.Crl = &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: rule.Revoked}}
		} else if rule.CRL != "" {
			check.Crl = &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: rule.CRL}}
		}
		common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: check}
	}
	if rule.Mode == mesh.TLSMutual {
		if shown := cmp.Or(rule.Shows, rule.CredentialName); shown != "" {
			common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{{Name: v.CredentialName(shown), SdsConfig: message.ADS()}}
		} else {
			common.TlsCertificates = []*tlsv3.TlsCertificate{{
				CertificateChain: &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: rule.ClientCertificate}},
				PrivateKey:       &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: rule.PrivateKey}},
			}}
		}
	}
	return &tlsv3.UpstreamTlsContext{Sni: sni, CommonTlsContext: common}
}
