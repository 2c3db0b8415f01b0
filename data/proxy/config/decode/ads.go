package decode

import (
	"fmt"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// adsCluster reads the static cluster of the control plane. It is one gRPC channel to one address: what a cluster may have beyond that is refused.
func (r *read) adsCluster(path string, m *clusterv3.Cluster, to *ADS) {
	r.nothingBut(path, m, "name", "type", "connect_timeout", "load_assignment", "transport_socket", "http2_protocol_options", "typed_extension_protocol_options", "upstream_connection_options")
	switch m.GetType() {
	case clusterv3.Cluster_STATIC, clusterv3.Cluster_STRICT_DNS, clusterv3.Cluster_LOGICAL_DNS:
	default:
		r.add(join(path, "type"), "the control plane is found by its address: want STATIC, STRICT_DNS or LOGICAL_DNS")
	}
	to.ConnectTimeout = r.duration(join(path, "connect_timeout"), m.GetConnectTimeout(), defaultConnectTimeout)
	to.Keepalive = keepalive(m.GetUpstreamConnectionOptions().GetTcpKeepalive())
	r.adsAddress(join(path, "load_assignment"), m, to)
	r.adsProtocol(path, m)
	if m.GetTransportSocket() != nil {
		to.TLS = r.clientTLS(path+".transport_socket", m.GetTransportSocket())
	}
}

func (r *read) adsAddress(path string, m *clusterv3.Cluster, to *ADS) {
	list := m.GetLoadAssignment().GetEndpoints()
	if len(list) != 1 {
		r.add(path+".endpoints", "want exactly one")
		return
	}
	if len(list[0].GetLbEndpoints()) != 1 {
		r.add(path+".endpoints[0].lb_endpoints", "want exactly one")
		return
	}
	r.nothingBut(path, m.GetLoadAssignment(), "cluster_name", "endpoints")
	r.nothingBut(path+".endpoints[0]", list[0], "lb_endpoints")
	p := path + ".endpoints[0].lb_endpoints[0]"
	r.nothingBut(p, list[0].GetLbEndpoints()[0], "endpoint")
	r.nothingBut(p+".endpoint", list[0].GetLbEndpoints()[0].GetEndpoint(), "address")
	switch a := r.address(p+".endpoint.address", list[0].GetLbEndpoints()[0].GetEndpoint().GetAddress()); {
	case a.path != "":
		to.Target = "unix:" + a.path
	case a.ip.IsValid():
		to.Target = a.ip.String()
	case a.host != "":
		to.Target = fmt.Sprintf("%s:%d", a.host, a.port)
	}
}

// adsProtocol takes what says that HTTP/2 is spoken, which is what gRPC does.
func (r *read) adsProtocol(path string, m *clusterv3.Cluster) {
	plain := func(path string, o *corev3.Http2ProtocolOptions) {
		if proto.Size(o) > 0 {
			r.add(path, "the channel's own settings hold: want {}")
		}
	}
	plain(join(path, "http2_protocol_options"), m.GetHttp2ProtocolOptions())
	for name, any := range m.GetTypedExtensionProtocolOptions() {
		at := join(path, "typed_extension_protocol_options[\""+name+"\"]")
		if o, ok := into[*httpv3.HttpProtocolOptions](&r.problems, at, any); ok {
			r.nothingBut(at, o, "explicit_http_config")
			r.nothingBut(at+".explicit_http_config", o.GetExplicitHttpConfig(), "http2_protocol_options")
			plain(at+".explicit_http_config.http2_protocol_options", o.GetExplicitHttpConfig().GetHttp2ProtocolOptions())
		}
	}
}

// nothingBut refuses the fields that are set beside those that are named.
func (r *read) nothingBut(path string, m proto.Message, names ...protoreflect.Name) {
	m.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if !slices.Contains(names, f.Name()) {
			r.add(join(path, string(f.Name())), "it means nothing for the cluster of the control plane")
		}
		return true
	})
}
