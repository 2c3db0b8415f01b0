// Package secret compiles the credentials that users give, in Secrets. Keys of workloads never come this way: they are made beside the proxy.
//
// In: a View and the secret's name, kubernetes://NAMESPACE/NAME or that with -cacert. Out: a Secret. Pure and safe for concurrent use.
package secret

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// Compile gives a credential, or nil when there is none that the proxy may have. Only gateways get credentials, and only those of their own namespace; a sidecar gets
// those that its Sidecar names for its own ports, and those that DestinationRules name for the hosts that it calls where they choose it with a workload selector.
func Compile(v *view.View, name string) *tlsv3.Secret {
	id, ok := view.SecretOf(name)
	base, roots := strings.CutSuffix(id.Name, view.RootsSuffix)
	whole := ok && (v.Kind() == mesh.Router || v.ServesWith(strings.TrimSuffix(name, view.RootsSuffix)) || v.ServesWith(name))
	if !ok || !whole && !v.CallsWith(name) {
		return nil
	}
	var s *mesh.Secret
	if found := false; roots {
		s, found = v.Roots(mesh.SecretID{Namespace: id.Namespace, Name: base})
		roots = found
	}
	if pair, found := v.Pair(id); found && !roots && (whole || base == id.Name) {
		return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
			CertificateChain: inline(pair.Certificate), PrivateKey: inline(pair.Key),
		}}}
	}
	if s == nil {
		return nil
	}
	check := &tlsv3.CertificateValidationContext{TrustedCa: inline(s.CA)}
	if len(s.CRL) > 0 {
		if !v.Can(mesh.FeatureRevocation) {
			return nil // without its list the roots would let in whom they should not
		}
		check.Crl = inline(s.CRL)
	}
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{ValidationContext: check}}
}

func inline(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}
