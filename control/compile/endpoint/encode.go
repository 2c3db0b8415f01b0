package endpoint

import (
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/control/compile/gate"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// The numbers of the fields that are written here.
const (
	assignmentName      protowire.Number = 1
	assignmentEndpoints protowire.Number = 2

	localityOf     protowire.Number = 1
	localityLb     protowire.Number = 2
	localityWeight protowire.Number = 3
	localityRank   protowire.Number = 5

	lbEndpointOf     protowire.Number = 1
	lbEndpointHealth protowire.Number = 2
	lbEndpointData   protowire.Number = 3
	lbEndpointWeight protowire.Number = 4

	addressSocket protowire.Number = 1
	addressPipe   protowire.Number = 2
	socketHost    protowire.Number = 2
	socketPort    protowire.Number = 3
	structText    protowire.Number = 3
)

// healthy is HealthStatus.HEALTHY.
const healthy = 1

// The metadata that tells who an endpoint is, and whether it takes the mesh's mutual TLS.
const (
	matchKey = "envoy.transport_socket_match"
)

// Encode gives the bytes of a ClusterLoadAssignment; false when there is no such cluster. Endpoints of a Service are encoded once each.
func Encode(v *view.View, name string) ([]byte, bool) {
	if to, ok := gate.SharesOf(v, name); ok {
		b, err := message.Bytes(datagramShares(v, name, to))
		return b, err == nil
	}
	if name == view.LocalCluster && v.Can(mesh.FeatureLocalCluster) {
		b, err := message.Bytes(localCluster(v))
		return b, err == nil
	}
	if name == view.BlackHoleCluster && v.Kind() == mesh.Proxyless { // of clusters to which nothing may be sent
		return message.AppendText(nil, assignmentName, name), true
	}
	c, ok := choose(v, name)
	if !ok {
		return nil, false
	}
	parts, list := v.Parts(c.service.ID)
	return c.encode(v, name, list, parts.On(c.port, work(v, name, list))), true
}

// Assignment are endpoints on a port of their service as a message, to be put into a cluster. policy is what the client obeys towards it.
func Assignment(v *view.View, name string, endpoints []*mesh.Endpoint, s *mesh.Service, p mesh.Port, subset mesh.Labels, policy mesh.TrafficPolicy) *endpointv3.ClusterLoadAssignment {
	c := chosen{service: s, port: p, subset: subset, policy: policy}
	return decoded(c.encode(v, name, endpoints, work(v, name, endpoints).All(endpoints, p)))
}

// decoded is the message of an assignment's bytes. Of a text that is not UTF-8, which the parsers do not let through, nothing is better than half of it.
func decoded(b []byte) *endpointv3.ClusterLoadAssignment {
	out := &endpointv3.ClusterLoadAssignment{}
	if err := proto.Unmarshal(b, out); err != nil {
		return &endpointv3.ClusterLoadAssignment{ClusterName: out.ClusterName}
	}
	return out
}

// encode puts together those of the endpoints in the list that the cluster takes, grouped by locality.
func (c *chosen) encode(v *view.View, name string, list []*mesh.Endpoint, encoded *view.Encoded) []byte {
	var groups grouping
	near, failover := v.Nearness(c.service, c.policy)
	grpc := v.Kind() == mesh.Proxyless // which refuses assignments with other than TCP addresses (gRFC A27)
	local := v.Settings().ClusterLocal(c.service.ID.Host)
	var last *group
	for i, e := range list {
		if local && !v.LabelIs(mesh.LabelCluster, string(e.Cluster)) {
			continue
		}
		if !c.takes(e) || c.service.NodeLocal && !v.SameNode(e) || grpc && e.Address.Kind() == mesh.AddrUnix || len(encoded.Of(i)) == 0 {
			continue
		}
		g := groups.of(v, last, near, failover, e)
		g.weight += max(e.Weight, 1)
		if n := len(g.runs); n > 0 && g.runs[n-1].last == i-1 {
			g.runs[n-1].last = i
		} else {
			g.runs = append(g.runs, run{i, i})
		}
		last = g
	}
	ordered := groups.ordered()
	if near != nil {
		ordered = arrange(v, near, failover, ordered)
	}
	if len(ordered) == 1 && len(ordered[0].runs) == 1 && encoded.Whole(ordered[0].runs[0].first, ordered[0].runs[0].last) {
		b := v.Scratch(beside(name, ordered[0].locality))
		b = ordered[0].head(message.AppendText(b, assignmentName, name), encoded)
		at := len(b)
		b = ordered[0].tail(b)
		return encoded.Within(b[:at], b[at:])
	}
	size := len(name) + 4
	for _, g := range ordered {
		size += beside("", g.locality) + g.size(encoded)
	}
	b := message.AppendText(make([]byte, 0, size), assignmentName, name)
	for _, g := range ordered {
		b = g.head(b, encoded)
		for _, r := range g.runs {
			b = append(b, encoded.Between(r.first, r.last)...)
		}
		b = g.tail(b)
	}
	return b
}

// run is a row of endpoints by their places in the list.
type run struct{ first, last int }

// beside is about how many bytes an assignment has for a locality beside the endpoints.
func beside(name string, l mesh.Locality) int {
	return len(name) + len(l.Region) + len(l.Zone) + len(l.Subzone) + 48
}

// size is how many bytes the endpoints of a group take.
func (g *group) size(encoded *view.Encoded) (n int) {
	for _, r := range g.runs {
		n += len(encoded.Between(r.first, r.last))
	}
	return n
}

// head appends what comes before the endpoints of a locality.
func (g *group) head(b []byte, encoded *view.Encoded) []byte {
	text := func(s string) int {
		if s == "" {
			return 0
		}
		return protowire.SizeTag(1) + protowire.SizeBytes(len(s))
	}
	of := text(g.locality.Region) + text(g.locality.Zone) + text(g.locality.Subzone)
	var tail [tailRoom]byte
	all := protowire.SizeTag(localityOf) + protowire.SizeBytes(of) + g.size(encoded) + len(g.tail(tail[:0]))
	b = protowire.AppendVarint(protowire.AppendTag(b, assignmentEndpoints, protowire.BytesType), uint64(all))
	b = protowire.AppendVarint(protowire.AppendTag(b, localityOf, protowire.BytesType), uint64(of))
	b = message.AppendText(b, 1, g.locality.Region)
	b = message.AppendText(b, 2, g.locality.Zone)
	return message.AppendText(b, 3, g.locality.Subzone)
}

// tailRoom is more than a tail takes.
const tailRoom = 24

// tail appends what comes behind the endpoints of a locality.
func (g *group) tail(b []byte) []byte {
	b = message.AppendUInt32(b, localityWeight, g.weight)
	return message.AppendNumber(b, localityRank, uint64(g.priority))
}

// work is how the endpoints of a service are encoded.
func work(v *view.View, name string, list []*mesh.Endpoint) view.Work {
	begin := func() view.Encode { return (&row{data: v.Scratch(128)}).append }
	w := view.Work{Begin: begin, View: v, Before: beside(name, mesh.Locality{})}
	if len(list) > 0 {
		w.Before = beside(name, list[0].Locality)
	}
	return w
}

// row keeps the encoded metadata of the endpoint before, which those of a service mostly have in common.
type row struct {
	last *mesh.Endpoint
	data []byte
}

// append appends a healthy endpoint as the field of a locality that it is; nothing when it does not have the port.
func (r *row) append(b []byte, e *mesh.Endpoint, p mesh.Port) []byte {
	port := PortOf(e, p)
	if port == 0 && e.Address.Kind() != mesh.AddrUnix {
		return b
	}
	b, at := message.Begin(b, localityLb)
	b = message.AppendNumber(b, lbEndpointHealth, healthy)
	if r.last == nil || !alike(r.last, e) {
		r.last, r.data = e, appendMetadata(r.data[:0], e)
	}
	b = append(b, r.data...)
	b = message.AppendUInt32(b, lbEndpointWeight, max(e.Weight, 1))
	b, of := message.Begin(b, lbEndpointOf) // one of several, which proto.Marshal writes last
	b, address := message.Begin(b, 1)
	b = appendAddress(b, e.Address, port)
	return message.End(message.End(message.End(b, address), of), at)
}

// alike says whether two endpoints have the same metadata.
func alike(a, b *mesh.Endpoint) bool {
	return a.MTLS == b.MTLS && a.WorkloadName == b.WorkloadName && a.Workload.Namespace == b.Workload.Namespace && a.CanonicalService == b.CanonicalService &&
		a.CanonicalRevision == b.CanonicalRevision && a.Cluster == b.Cluster
}

func appendMetadata(b []byte, e *mesh.Endpoint) []byte {
	b, data := message.Begin(b, lbEndpointData)
	if e.MTLS {
		b = appendData(b, matchKey, "tlsMode", "istio")
	}
	if described(e) {
		b = appendData(b, message.IstioKey, "workload", Workload(e))
	}
	return message.End(b, data)
}

func appendAddress(b []byte, a mesh.Address, port uint16) []byte {
	if a.Kind() == mesh.AddrUnix {
		b, at := message.Begin(b, addressPipe)
		return message.End(message.AppendText(b, 1, a.Text()), at)
	}
	b, at := message.Begin(b, addressSocket)
	b, host := message.Begin(b, socketHost)
	if a.Kind() == mesh.AddrHostname {
		b = append(b, a.Text()...)
	} else {
		b = a.IP().AppendTo(b)
	}
	b = message.End(b, host)
	return message.End(protowire.AppendVarint(protowire.AppendTag(b, socketPort, protowire.VarintType), uint64(port)), at)
}

// appendData appends metadata of one text under a key.
func appendData(b []byte, key, name, text string) []byte {
	b, entry := message.Begin(b, 1)
	b = message.AppendText(b, 1, key)
	b, fields := message.Begin(b, 2)
	b, field := message.Begin(b, 1)
	b = message.AppendText(b, 1, name)
	b, value := message.Begin(b, 2)
	b = protowire.AppendString(protowire.AppendTag(b, structText, protowire.BytesType), text)
	return message.End(message.End(message.End(message.End(b, value), field), fields), entry)
}
