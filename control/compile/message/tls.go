package message

import (
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/heddle-mesh/heddle/mesh"
)

// TLSParams are the bounds of TLS: 1.2 at least, 1.3 at most, unless more is said.
func TLSParams(b mesh.TLSBounds) *tlsv3.TlsParameters {
	p := &tlsv3.TlsParameters{
		TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2, TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3, CipherSuites: b.CipherSuites, EcdhCurves: b.Curves,
	}
	if b.MinVersion == tls13 {
		p.TlsMinimumProtocolVersion = tlsv3.TlsParameters_TLSv1_3
	}
	return p
}

// tls13 is the version's number (RFC 8446 section 4.2.1).
const tls13 = 0x0304
