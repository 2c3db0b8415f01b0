// Package secret compiles the credentials of gateways. Keys of workloads never come this way: they are made beside the proxy.
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

const (
	prefix   = "kubernetes://"
	caSuffix = "-cacert"
)

// Compile gives a credential, or nil when there is none that the proxy may have. Only gateways get credentials, and only those of their own namespace; a sidecar gets
// those that its Sidecar names for its own ports.
func Compile(v *view.View, name string) *tlsv3.Secret {
	path, ok := strings.CutPrefix(name, prefix)
	if !ok || v.Kind() != mesh.Router && !v.ServesWith(strings.TrimSuffix(name, caSuffix)) && !v.ServesWith(name) {
		return nil
	}
	ns, object, ok := strings.Cut(path, "/")
	if !ok {
		return nil
	}
	id := mesh.SecretID{Namespace: mesh.Namespace(ns), Name: object}
	s, found := v.Secret(id)
	if found && len(s.Key) > 0 {
		return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
			CertificateChain: inline(s.Certificate), PrivateKey: inline(s.Key),
		}}}
	}
	base, ca := strings.CutSuffix(object, caSuffix)
	if !found || len(s.CA) == 0 { // NAME-cacert may be a Secret of its own, or the CA inside of NAME
		if s, found = v.Secret(mesh.SecretID{Namespace: id.Namespace, Name: base}); !found || !ca || len(s.CA) == 0 {
			return nil
		}
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
