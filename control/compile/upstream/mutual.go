package upstream

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// The numbers of the fields that are written here, of UpstreamTlsContext and what is in it. Nearly every cluster has one, so it is written without making messages.
const (
	contextCommon protowire.Number = 1
	contextSNI    protowire.Number = 2

	commonParams       protowire.Number = 1
	commonALPN         protowire.Number = 4
	commonCertificates protowire.Number = 6
	commonValidation   protowire.Number = 8 // combined_validation_context

	combinedDefault protowire.Number = 1
	combinedSecret  protowire.Number = 2

	validationNames protowire.Number = 15 // match_typed_subject_alt_names
	nameKind        protowire.Number = 1
	nameMatcher     protowire.Number = 2
	matcherExact    protowire.Number = 1

	clusterMatches protowire.Number = 43 // transport_socket_matches of Cluster
	matchName      protowire.Number = 1
	matchCriteria  protowire.Number = 2
	matchSocket    protowire.Number = 3
	socketName     protowire.Number = 1
	socketConfig   protowire.Number = 3
	anyURL         protowire.Number = 1
	anyValue       protowire.Number = 2
)

const (
	tlsSocket = "envoy.transport_sockets.tls"
	// mutualSize is what a transport socket of the mesh's mutual TLS takes where the names are not many.
	mutualSize = 768
)

var contextType = message.TypeURL(&tlsv3.UpstreamTlsContext{})

// appendMatches appends the transports of a cluster with endpoints that take the mesh's mutual TLS, as their metadata says, and others that take none.
func (t *target) appendMatches(b []byte, v *view.View) []byte {
	b, at := message.Begin(b, clusterMatches)
	b, criteria := message.Begin(message.AppendText(b, matchName, "tlsMode-istio"), matchCriteria)
	b = message.End(message.AppendTextField(b, "tlsMode", "istio"), criteria)
	b, socket := message.Begin(b, matchSocket)
	if t.policy.Proxy == 0 {
		b = t.appendMutual(b, v, nil)
	} else {
		b = append(b, encoded(t.announced(message.Raw[corev3.TransportSocket](t.appendMutual(nil, v, nil))))...)
	}
	b = message.End(message.End(b, socket), at)
	if t.policy.Proxy == 0 {
		return append(b, unprotected...)
	}
	return appendUnprotected(b, t.announced(raw))
}

var unprotected = appendUnprotected(nil, raw)

func appendUnprotected(b []byte, s *corev3.TransportSocket) []byte {
	b, at := message.Begin(b, clusterMatches)
	b = appendField(message.AppendText(b, matchName, "tlsMode-disabled"), matchCriteria, nil)
	return message.End(appendField(b, matchSocket, encoded(s)), at)
}

// appendMutual appends a transport socket of the mesh's own mutual TLS: keys and roots made beside the proxy, the server known by the identities of the service's endpoints.
func (t *target) appendMutual(b []byte, v *view.View, rule *mesh.ClientTLS) []byte {
	sni := view.SNI(t.port.Number, t.subset, t.service.ID.Host)
	names := aliases(append(v.Accounts(t.service.ID), t.service.SubjectAltNames...), v.Settings().TrustAliases)
	if rule != nil {
		if rule.SNI != "" {
			sni = rule.SNI
		}
		if len(rule.SubjectAltNames) > 0 {
			names = rule.SubjectAltNames
		}
	}
	own, roots := local(v.Can(mesh.FeatureSecretSocket))

	b, config := message.Begin(message.AppendText(b, socketName, tlsSocket), socketConfig)
	b, context := message.Begin(message.AppendText(b, anyURL, contextType), anyValue)
	b, common := message.Begin(b, contextCommon)
	b = appendField(b, commonParams, params(v.Settings().MeshTLS))
	for _, p := range t.alpn() {
		b = message.AppendText(b, commonALPN, p)
	}
	b = appendField(b, commonCertificates, own)
	b, validation := message.Begin(b, commonValidation)
	b, check := message.Begin(b, combinedDefault)
	for _, n := range names {
		b = appendAlternative(b, n)
	}
	b = message.End(b, check)
	b = appendField(b, combinedSecret, roots)
	b = message.End(message.End(b, validation), common)
	return message.End(message.End(message.AppendText(b, contextSNI, sni), context), config)
}

func appendField(b []byte, field protowire.Number, encoded []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), encoded)
}

func appendAlternative(b []byte, name string) []byte {
	b, at := message.Begin(b, validationNames)
	b = message.AppendNumber(b, nameKind, uint64(kindOf(name)))
	b, matcher := message.Begin(b, nameMatcher)
	b = protowire.AppendString(protowire.AppendTag(b, matcherExact, protowire.BytesType), name)
	return message.End(message.End(b, matcher), at)
}

// kindOf says what a name is: a URI, SPIFFE identities among them, or a DNS name.
func kindOf(name string) tlsv3.SubjectAltNameMatcher_SanType {
	if strings.Contains(name, "://") {
		return tlsv3.SubjectAltNameMatcher_URI
	}
	return tlsv3.SubjectAltNameMatcher_DNS
}

// secrets are the encoded SdsSecretConfigs of the proxy's own certificate and of the roots of the mesh.
type secrets struct{ own, roots []byte }

var onStream, onSocket = secretsFrom(message.LocalSecrets(false)), secretsFrom(message.LocalSecrets(true))

func secretsFrom(s *corev3.ConfigSource) secrets {
	return secrets{own: encoded(&tlsv3.SdsSecretConfig{Name: "default", SdsConfig: s}), roots: encoded(&tlsv3.SdsSecretConfig{Name: "ROOTCA", SdsConfig: s})}
}

func local(socket bool) (own, roots []byte) {
	if socket {
		return onSocket.own, onSocket.roots
	}
	return onStream.own, onStream.roots
}

var usual = encoded(message.TLSParams(mesh.TLSBounds{}))

func params(b mesh.TLSBounds) []byte {
	if b.MinVersion == 0 && len(b.CipherSuites)+len(b.Curves) == 0 {
		return usual
	}
	return encoded(message.TLSParams(b))
}

func encoded(m proto.Message) []byte { return message.Any(m).Value }

// alpn tells the server's sidecar what is inside, in Istio's words. Stock Envoy cannot change the words for each request, so a port without a
// declared protocol says only that it is the mesh's mutual TLS, and the server's sidecar treats what is inside as TCP.
func (t *target) alpn() []string {
	switch {
	case t.proto == mesh.HTTP2 || t.proto == mesh.GRPC:
		return []string{"istio-h2", "istio", "h2"}
	case t.proto.IsHTTP():
		return []string{"istio-http/1.1", "istio", "http/1.1"}
	}
	return []string{"istio"}
}
