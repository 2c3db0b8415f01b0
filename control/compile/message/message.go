// Package message has the few shapes that Envoy's resources repeat: packed messages, addresses, durations and where to subscribe.
//
// In: plain values. Out: new protobuf messages. Pure and safe for concurrent use.
package message

import (
	"net/netip"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/heddle-mesh/heddle/mesh"
)

const typePrefix = "type.googleapis.com/"

// Any packs a message with deterministic bytes. It panics only on a string that is not UTF-8, which the parsers of mesh do not let through.
func Any(m proto.Message) *anypb.Any {
	return &anypb.Any{TypeUrl: TypeURL(m), Value: mustBytes(m)}
}

// TypeURL is the type of a message as an Any names it.
func TypeURL(m proto.Message) string {
	return typePrefix + string(m.ProtoReflect().Descriptor().FullName())
}

// Bytes are the deterministic bytes of a message. An error means a string that is not UTF-8.
func Bytes(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// Duration is a protobuf duration.
func Duration(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

// Set is the duration, or nil for zero.
func Set(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// Socket is a TCP address.
func Socket(ip netip.Addr, port uint16) *corev3.Address { return Named(ip.String(), port) }

// Named is the TCP address of an IP in text or of a DNS name.
func Named(host string, port uint16) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
}

// At is an endpoint's address with a port; a unix socket has none.
func At(a mesh.Address, port uint16) *corev3.Address {
	switch a.Kind() {
	case mesh.AddrUnix:
		return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: a.Text()}}}
	case mesh.AddrHostname:
		return Named(a.Text(), port)
	}
	return Socket(a.IP(), port)
}

var ads = Frozen(&corev3.ConfigSource{
	ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	ResourceApiVersion:    corev3.ApiVersion_V3,
	InitialFetchTimeout:   durationpb.New(0),
})

// ADS subscribes on the aggregated stream that the configuration itself came by, and waits for the answer without limit. It is frozen.
func ADS() *corev3.ConfigSource { return ads }

var sdsSocket = Frozen(&corev3.ConfigSource{
	ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: &corev3.ApiConfigSource{
		ApiType: corev3.ApiConfigSource_GRPC, TransportApiVersion: corev3.ApiVersion_V3, SetNodeOnFirstMessageOnly: true,
		GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
			EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: "sds-grpc"},
		}}},
	}},
	ResourceApiVersion: corev3.ApiVersion_V3, InitialFetchTimeout: durationpb.New(0),
})

// LocalSecrets subscribes to the secrets that are made beside the proxy. Stock Envoy asks its agent on the cluster sds-grpc of its bootstrap, as
// in Istio; a proxy that makes its own keys takes the names from itself. It is frozen.
func LocalSecrets(socket bool) *corev3.ConfigSource {
	if !socket {
		return ADS()
	}
	return sdsSocket
}

// Provider names a certificate of the certificate provider that the bootstraps of gRPC clients call default, as in Istio's (gRFC A29).
func Provider(certificate string) *tlsv3.CertificateProviderPluginInstance {
	return &tlsv3.CertificateProviderPluginInstance{InstanceName: "default", CertificateName: certificate}
}

// Prefix is a CIDR range.
func Prefix(p netip.Prefix) *corev3.CidrRange {
	return &corev3.CidrRange{AddressPrefix: p.Addr().String(), PrefixLen: UInt32(uint32(p.Bits()))}
}
