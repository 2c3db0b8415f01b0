package decode

import (
	"fmt"
	"math"
	"net/netip"
	"os"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/heddle-mesh/heddle/data/proxy/accesslog"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Decoder turns resources into plain configuration. The zero value validates: it reads files, but opens no access log. It is immutable and safe for concurrent use.
type Decoder struct {
	// OpenLog opens an access log's file; nil opens none.
	OpenLog func(path string) (*accesslog.Sink, error)
	// Identity says that the workload's own key and roots (secrets "default" and "ROOTCA") are kept beside the proxy.
	Identity bool
	// Env reads the proxy's environment, for tags of spans; nil has none.
	Env func(name string) (value string, ok bool)
	// Telemetry turns Istio's standard metrics on in every HTTP connection manager and TCP proxy.
	Telemetry bool
	// Limits are how many connections a listener may have open, by its name.
	Limits map[string]uint32
}

// read is one resource being read.
type read struct {
	problems
	d      *Decoder
	limits map[string]uint32    // of listeners
	compat bool                 // the address that is read is a listener's own
	labels [2]map[string]string // of the endpoint before, for its transport and for balancing
}

// start checks a message against the table; what follows may assume that only honoured fields are there.
func (d *Decoder) start(path string, m proto.Message) *read {
	r := &read{d: d, limits: d.Limits}
	r.honour(path, m.ProtoReflect())
	return r
}

func finish[T any](r *read, v T) (T, error) {
	if len(r.list) > 0 {
		var none T
		return none, sorted(r.list)
	}
	return v, nil
}

// Listener reads a listener; path is where it stands ("" for a resource of its own).
func (d *Decoder) Listener(path string, m *listenerv3.Listener) (*config.Listener, error) {
	r := d.start(path, m)
	return finish(r, r.listener(path, m))
}

// Cluster reads a cluster.
func (d *Decoder) Cluster(path string, m *clusterv3.Cluster) (*config.Cluster, error) {
	r := d.start(path, m)
	return finish(r, r.cluster(path, m))
}

// Assignment reads a cluster's endpoints.
func (d *Decoder) Assignment(path string, m *endpointv3.ClusterLoadAssignment) (*config.Assignment, error) {
	r := d.start(path, m)
	return finish(r, r.assignment(path, m, false))
}

// RouteTable reads a route configuration.
func (d *Decoder) RouteTable(path string, m *routev3.RouteConfiguration) (*config.RouteTable, error) {
	r := d.start(path, m)
	return finish(r, r.routeTable(path, m))
}

// VirtualHost reads a virtual host that came by itself (VHDS).
func (d *Decoder) VirtualHost(path string, m *routev3.VirtualHost) (*config.VirtualHost, error) {
	r := d.start(path, m)
	return finish(r, r.virtualHost(path, m, math.MaxInt)) // the limit is in the route configuration, which was read without its hosts
}

// Secret reads a certificate with its key, or roots.
func (d *Decoder) Secret(path string, m *tlsv3.Secret) (*config.SecretRef, error) {
	r := d.start(path, m)
	return finish(r, r.secret(path, m))
}

// duration reads a duration, or the default when there is none. A negative one is a problem.
func (r *read) duration(path string, d *durationpb.Duration, unset time.Duration) time.Duration {
	if d == nil {
		return unset
	}
	if err := d.CheckValid(); err != nil || d.AsDuration() < 0 {
		r.add(path, "%v is not a duration of 0 or more", d)
		return unset
	}
	return d.AsDuration()
}

// optional reads a duration that may be absent.
func (r *read) optional(path string, d *durationpb.Duration) *time.Duration {
	if d == nil {
		return nil
	}
	out := r.duration(path, d, 0)
	return &out
}

func number(v *wrapperspb.UInt32Value, unset uint32) uint32 {
	if v == nil {
		return unset
	}
	return v.GetValue()
}

// bufferLimit is how many bytes a connection may hold, 0 for the default.
func (r *read) bufferLimit(path string, v *wrapperspb.UInt32Value) int {
	if v != nil && v.GetValue() == 0 {
		r.add(join(path, "per_connection_buffer_limit_bytes"), "want 1 or more: a connection does not hold any number of bytes")
	}
	return int(v.GetValue())
}

func boolean(v *wrapperspb.BoolValue, unset bool) bool {
	if v == nil {
		return unset
	}
	return v.GetValue()
}

// share is a part of a million.
func (r *read) share(path string, p *typev3.FractionalPercent) uint32 {
	scale := map[typev3.FractionalPercent_DenominatorType]uint64{typev3.FractionalPercent_HUNDRED: 10000, typev3.FractionalPercent_TEN_THOUSAND: 100, typev3.FractionalPercent_MILLION: 1}[p.GetDenominator()]
	if scale == 0 {
		r.add(path+".denominator", "%d is unknown", p.GetDenominator())
	}
	return uint32(min(uint64(p.GetNumerator())*scale, 1_000_000))
}

// data is the content of a source; a file is read now.
func (r *read) data(path string, s *corev3.DataSource) []byte {
	switch s := s.GetSpecifier().(type) {
	case *corev3.DataSource_InlineBytes:
		return s.InlineBytes
	case *corev3.DataSource_InlineString:
		return []byte(s.InlineString)
	case *corev3.DataSource_Filename:
		b, err := os.ReadFile(s.Filename)
		if err != nil {
			r.add(path+".filename", "%v", err)
		}
		return b
	case nil:
		return nil
	}
	r.add(path, "the source is not supported")
	return nil
}

// address is an IP and port, a path, or a host name with a port.
type address struct {
	ip   netip.AddrPort
	path string
	host string
	port uint16
}

func (r *read) address(path string, a *corev3.Address) (out address) {
	if p := a.GetPipe(); p != nil {
		if p.GetPath() == "" {
			r.add(path+".pipe.path", "it is empty")
		}
		return address{path: p.GetPath()}
	}
	return r.socket(join(path, "socket_address"), a.GetSocketAddress())
}

func (r *read) socket(path string, s *corev3.SocketAddress) (out address) {
	if s == nil {
		r.add(path, "an address is missing")
		return out
	}
	if s.GetIpv4Compat() && !r.compat {
		r.add(path+".ipv4_compat", "it is for the address of a listener only")
	}
	if s.GetProtocol() != corev3.SocketAddress_TCP && !r.compat {
		r.add(path+".protocol", "only a listener can be reached over UDP")
	}
	if s.GetPortValue() > math.MaxUint16 {
		r.add(path+".port_value", "%d is above 65535", s.GetPortValue())
		return out
	}
	out.port = uint16(s.GetPortValue())
	if ip, err := netip.ParseAddr(s.GetAddress()); err == nil {
		out.ip = netip.AddrPortFrom(ip.Unmap(), out.port)
	} else if out.host = s.GetAddress(); out.host == "" {
		r.add(path+".address", "it is empty")
	}
	return out
}

// prefixes reads CIDR ranges.
func (r *read) prefixes(path string, ranges []*corev3.CidrRange) (out []netip.Prefix) {
	for i, c := range ranges {
		out = append(out, r.prefix(fmt.Sprintf("%s[%d]", path, i), c))
	}
	return out
}

func (r *read) prefix(path string, c *corev3.CidrRange) netip.Prefix {
	ip, err := netip.ParseAddr(c.GetAddressPrefix())
	if err != nil {
		r.add(path+".address_prefix", "%q is not an IP address", c.GetAddressPrefix())
		return netip.Prefix{}
	}
	bits := int(c.GetPrefixLen().GetValue()) // Envoy's default is 0
	if ip.Is4In6() && bits >= 96 {
		ip, bits = ip.Unmap(), bits-96
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		r.add(path+".prefix_len", "%d is not a length for %s", bits, ip)
	}
	return p
}

// defaultWait is Envoy's initial_fetch_timeout.
const defaultWait = 15 * time.Second

const adsOnly = "resources come over ADS only: want ads {}"

// adsOnly checks that a resource is to come over the one aggregated stream, and says how long to wait for it; 0 is for ever.
func (r *read) adsOnly(path string, c *corev3.ConfigSource) time.Duration {
	if c.GetAds() == nil {
		r.add(path, "%s", adsOnly)
	}
	return r.duration(path+".initial_fetch_timeout", c.GetInitialFetchTimeout(), defaultWait)
}
