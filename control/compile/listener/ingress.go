package listener

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// own is the workload's own TLS at a port (Sidecar.ingress.tls); nil where the mesh's counts. It is for clients outside of the mesh, so that it is in effect only where the
// mesh's mutual TLS is off, as in Istio.
func (a arrival) own(v *view.View) *mesh.ServerTLS {
	l := a.listener
	if l == nil || l.TLS == nil || l.Denied != "" {
		return nil
	}
	if v.MTLS(a.port) == mesh.MTLSDisable {
		return l.TLS
	}
	v.Notice(mesh.Problem{
		Object: a.origin, Field: "spec.ingress", Code: mesh.CodeNotEnforced,
		Message: "the port is for the mesh's mutual TLS, so the listener's own TLS is not used", Hint: "set portLevelMtls to DISABLE for the port in a PeerAuthentication",
	})
	return nil
}

// terminated are the ways to a port whose TLS ends with a certificate of its own: nothing else may come in.
func terminated(proto mesh.Protocol) []way {
	switch proto {
	case mesh.Auto:
		return []way{{transport: "tls", alpn: []string{"http/1.1", "h2"}, own: true, http: true}, {transport: "tls", own: true}}
	case mesh.HTTPS:
		proto = mesh.HTTP
	}
	return []way{{transport: "tls", own: true, http: proto.IsHTTP()}}
}

// ingressContext is the server side of the workload's own TLS: that of a gateway, with a credential or with files beside the proxy.
func ingressContext(v *view.View, l *mesh.IngressListener) *tlsv3.DownstreamTlsContext {
	ctx := serverContext(v, l.TLS)
	if l.TLS.Credential != "" {
		return ctx
	}
	file := func(name string) *corev3.DataSource {
		return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: name}}
	}
	c := ctx.CommonTlsContext
	c.TlsCertificateSdsSecretConfigs = nil
	c.TlsCertificates = []*tlsv3.TlsCertificate{{CertificateChain: file(l.Files.Certificate), PrivateKey: file(l.Files.Key)}}
	if combined := c.GetCombinedValidationContext(); combined != nil {
		check := combined.DefaultValidationContext
		check.TrustedCa = file(l.Files.CA)
		if l.Files.CRL != "" {
			check.Crl = file(l.Files.CRL)
		}
		c.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: check}
	}
	return ctx
}
