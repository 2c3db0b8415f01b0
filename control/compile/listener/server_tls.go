package listener

import (
	"cmp"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// serverContext is the server side of TLS that ends with a certificate of its own: at a gateway, or at a port of a workload that is called from outside of the mesh.
func serverContext(v *view.View, t *mesh.ServerTLS) *tlsv3.DownstreamTlsContext {
	var out *tlsv3.DownstreamTlsContext
	if t.Mode == mesh.ServerIstioMutual {
		out = mutualContext(v)
		accept(out.CommonTlsContext.GetCombinedValidationContext().DefaultValidationContext, t)
	} else {
		out = &tlsv3.DownstreamTlsContext{RequireClientCertificate: message.False(), CommonTlsContext: &tlsv3.CommonTlsContext{TlsParams: message.TLSParams(v.Settings().TLS), AlpnProtocols: []string{"h2", "http/1.1"}}}
		if !v.Can(mesh.FeatureHTTP2) {
			out.CommonTlsContext.AlpnProtocols = out.CommonTlsContext.AlpnProtocols[1:]
		}
		out.CommonTlsContext.TlsParams.TlsMaximumProtocolVersion = tlsv3.TlsParameters_TLS_AUTO
		ownCertificates(v, out.CommonTlsContext, t)
		clients(v, out, t)
	}
	params := out.CommonTlsContext.TlsParams
	if t.MinVersion != 0 {
		params.TlsMinimumProtocolVersion = tlsVersion(t.MinVersion)
	}
	if t.MaxVersion != 0 {
		params.TlsMaximumProtocolVersion = tlsVersion(t.MaxVersion)
	}
	if len(t.CipherSuites) > 0 {
		params.CipherSuites = t.CipherSuites
	}
	if len(t.Curves) > 0 {
		params.EcdhCurves = t.Curves
	}
	if len(t.ALPN) > 0 {
		out.CommonTlsContext.AlpnProtocols = t.ALPN
	}
	return out
}

// ownCertificates are the server's own: from Secrets, or files beside the proxy, which it reads when it is given the listener, or the mesh's.
func ownCertificates(v *view.View, c *tlsv3.CommonTlsContext, t *mesh.ServerTLS) {
	for _, f := range t.Files {
		c.TlsCertificates = append(c.TlsCertificates, &tlsv3.TlsCertificate{CertificateChain: file(f.Certificate), PrivateKey: file(f.Key)})
	}
	if len(t.Files) > 0 {
		return
	}
	if t.Own {
		c.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{{Name: "default", SdsConfig: message.LocalSecrets(v.Can(mesh.FeatureSecretSocket))}}
		return
	}
	for _, name := range append([]string{t.Credential}, t.More...) {
		c.TlsCertificateSdsSecretConfigs = append(c.TlsCertificateSdsSecretConfigs, &tlsv3.SdsSecretConfig{Name: v.CredentialName(name), SdsConfig: message.ADS()})
	}
}

// clients says whose certificates are taken, where clients are asked for one.
func clients(v *view.View, out *tlsv3.DownstreamTlsContext, t *mesh.ServerTLS) {
	if t.Mode != mesh.ServerMutual && t.Mode != mesh.ServerOptionalMutual {
		return
	}
	if t.Mode == mesh.ServerMutual {
		out.RequireClientCertificate = message.True()
	}
	check := &tlsv3.CertificateValidationContext{}
	accept(check, t)
	if t.Roots != "" {
		check.TrustedCa = &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: t.Roots}}
		out.CommonTlsContext.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: check}
		return
	}
	if t.CAFile != "" && t.CA == "" {
		check.TrustedCa = file(t.CAFile)
		if t.CRLFile != "" {
			check.Crl = file(t.CRLFile)
		}
		out.CommonTlsContext.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: check}
		return
	}
	out.CommonTlsContext.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{
		CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
			DefaultValidationContext:         check,
			ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: v.CredentialName(cmp.Or(t.CA, t.Credential)) + view.RootsSuffix, SdsConfig: message.ADS()},
		},
	}
}

// accept says what a client's certificate must be besides vouched for.
func accept(check *tlsv3.CertificateValidationContext, t *mesh.ServerTLS) {
	for _, n := range t.SubjectAltNames {
		for _, kind := range []tlsv3.SubjectAltNameMatcher_SanType{tlsv3.SubjectAltNameMatcher_DNS, tlsv3.SubjectAltNameMatcher_URI} {
			check.MatchTypedSubjectAltNames = append(check.MatchTypedSubjectAltNames, &tlsv3.SubjectAltNameMatcher{
				SanType: kind, Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: n}},
			})
		}
	}
	check.VerifyCertificateSpki, check.VerifyCertificateHash = t.SPKIs, t.Hashes
	if t.Unverified {
		check.TrustChainVerification = tlsv3.CertificateValidationContext_ACCEPT_UNTRUSTED
	}
}

func file(name string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: name}}
}

// tlsVersion maps the numbers of RFC 8446 section 4.1.2 (0x0303 is TLS 1.2).
func tlsVersion(n uint16) tlsv3.TlsParameters_TlsProtocol {
	switch n {
	case 0x0301:
		return tlsv3.TlsParameters_TLSv1_0
	case 0x0302:
		return tlsv3.TlsParameters_TLSv1_1
	case 0x0303:
		return tlsv3.TlsParameters_TLSv1_2
	case 0x0304:
		return tlsv3.TlsParameters_TLSv1_3
	}
	return tlsv3.TlsParameters_TLS_AUTO
}
