package compile

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"

	"github.com/heddle-mesh/heddle/control/compile/endpoint"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/internal/memo"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

// The bytes that are put together from parts are those that the message has, with the endpoints that the cluster takes.
func TestEndpointsEncodeAsTheirMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		snap := mesh.NewSnapshot(defaultSettings())
		id := serviceID(0)
		svc := &mesh.Service{ID: id, Ports: []mesh.Port{{Name: "p", Number: 80, TargetPort: uint16(rapid.SampledFrom([]int{0, 8080}).Draw(t, "target")), Protocol: mesh.HTTP},
			{Name: "d", Number: 90, Protocol: mesh.UDP}}}
		svc.Near = rapid.SampledFrom([]mesh.Nearness{mesh.Anywhere, mesh.NearZone, mesh.NearNode}).Draw(t, "near")
		snap.Services, snap.Hosts = snap.Services.With(id, svc), snap.Hosts.With(id.Host, []mesh.ServiceID{id})
		rule := &mesh.Traffic{Origin: mesh.Ref{Kind: "DestinationRule", Namespace: id.Namespace, Name: "d"}, Host: id.Host, Subsets: []mesh.Subset{{Name: "v0", Labels: mesh.Labels{"v": "0"}}}}
		distribute := rapid.Bool().Draw(t, "distribute")
		if distribute {
			rule.Policy.LoadBalancer = &mesh.LoadBalancer{Locality: &mesh.LocalityBalance{Distribute: []mesh.Distribution{{From: mesh.LocalityPattern{Region: "r"}, To: []mesh.LocalityShare{{To: mesh.LocalityPattern{Region: "r"}, Weight: 100}}}}}}
		}
		snap.Traffic = snap.Traffic.With(id.Host, []*mesh.Traffic{rule})
		set := &mesh.EndpointSet{Service: id}
		for i := range rapid.IntRange(0, 6).Draw(t, "endpoints") {
			set.Endpoints = append(set.Endpoints, someEndpoint(t, i))
		}
		snap.Endpoints = snap.Endpoints.With(id, set)
		source, _ := view.NewSource().Next(snap)
		both := memo.New(memo.Rules[*view.Source, mesh.Proxy, xds.Name, mesh.Key, result]{
			Compute: func(s *view.Source, n xds.Name, r *view.Reader, _ func(xds.Name) *result) *result {
				got, ok := endpoint.Encode(view.New(s, r), n.Name)
				m := &endpointv3.ClusterLoadAssignment{}
				if err := proto.Unmarshal(got, m); !ok || err != nil {
					t.Fatalf("%s: encoded %v, %v", n.Name, ok, err)
				}
				if want, err := message.Bytes(asMessages(n.Name, set.Endpoints, svc, distribute, m)); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%s (%v):\n%x, as a message\n%x\n%v", n.Name, err, got, want, m)
				}
				return &result{absent: true}
			},
			Same: func(*result) string { return "" }, Strong: func(*result) bool { return true },
		})
		p := somebody("a", nil, mesh.Sidecar, true)
		for _, name := range []string{view.ClusterName(80, "", id.Host), view.ClusterName(80, "v0", id.Host), view.SNI(80, "", id.Host), view.DatagramName(90, id.Host)} {
			both.Get(source, 0, func() *view.Source { return source }, p, xds.Name{TypeURL: xds.Endpoints, Name: name})
		}
	})
}

// asMessages makes the assignment of a cluster of the service the other way, of messages. Priorities are those of got.
func asMessages(name string, list []*mesh.Endpoint, s *mesh.Service, distribute bool, got *endpointv3.ClusterLoadAssignment) *endpointv3.ClusterLoadAssignment {
	out := &endpointv3.ClusterLoadAssignment{ClusterName: name}
	port := s.Ports[0]
	if strings.HasPrefix(name, "udp|") {
		port = s.Ports[1]
	}
	by, sum := map[mesh.Locality]*endpointv3.LocalityLbEndpoints{}, uint32(0)
	for _, e := range list {
		number, has := e.Ports[port.Name]
		if !has && len(e.Ports) == 0 {
			number, has = cmp.Or(port.TargetPort, port.Number), true
		}
		if distribute && e.Locality.Region != "r" || e.Health != mesh.Healthy || !has && e.Address.Kind() != mesh.AddrUnix || strings.Contains(name, "|v0|") && e.Labels["v"] != "0" || strings.HasPrefix(name, "outbound_") && !e.MTLS {
			continue
		}
		if by[e.Locality] == nil {
			l := e.Locality
			by[l] = &endpointv3.LocalityLbEndpoints{Locality: &corev3.Locality{Region: l.Region, Zone: l.Zone, SubZone: l.Subzone}, LoadBalancingWeight: message.UInt32(0)}
			out.Endpoints = append(out.Endpoints, by[l])
		}
		weight, data := max(e.Weight, 1), map[string]*structpb.Struct{}
		if e.WorkloadName != "" || e.Workload.Namespace != "" {
			data["istio"] = structOf("workload", endpoint.Workload(e))
		}
		if e.MTLS {
			data["envoy.transport_socket_match"] = structOf("tlsMode", "istio")
		}
		in := by[e.Locality]
		in.LoadBalancingWeight.Value += weight
		sum += weight
		in.LbEndpoints = append(in.LbEndpoints, &endpointv3.LbEndpoint{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: message.At(e.Address, number)}},
			Metadata:       &corev3.Metadata{FilterMetadata: data}, LoadBalancingWeight: message.UInt32(weight), HealthStatus: corev3.HealthStatus_HEALTHY,
		})
	}
	slices.SortFunc(out.Endpoints, func(a, b *endpointv3.LocalityLbEndpoints) int {
		return cmp.Or(cmp.Compare(a.Locality.Region, b.Locality.Region), cmp.Compare(a.Locality.Zone, b.Locality.Zone))
	})
	for i, l := range out.Endpoints {
		if i < len(got.Endpoints) {
			l.Priority = got.Endpoints[i].Priority
		}
		if distribute {
			l.LoadBalancingWeight.Value = (100*l.LoadBalancingWeight.Value + sum - 1) / sum
		}
	}
	return out
}

func someEndpoint(t *rapid.T, i int) *mesh.Endpoint {
	address := rapid.SampledFrom([]string{fmt.Sprint("10.0.0.", i), fmt.Sprint("2001:db8::", i), "web.example.com", "unix:///run/web.sock"}).Draw(t, "address")
	a, err := mesh.ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	e := &mesh.Endpoint{Address: a, MTLS: rapid.Bool().Draw(t, "mtls"), Weight: uint32(rapid.SampledFrom([]int{0, 1, 7, 300, 1 << 20}).Draw(t, "weight")),
		Labels: mesh.Labels{"v": fmt.Sprint(i % 2)}, Health: mesh.Health(rapid.IntRange(0, 1).Draw(t, "health"))}
	e.Ports = rapid.SampledFrom([]map[string]uint16{nil, {"p": 8080}, {"p": 80, "d": 53}, {"other": 1}}).Draw(t, "ports")
	e.Locality = rapid.SampledFrom([]mesh.Locality{{}, {Region: "r"}, {Region: "r", Zone: "a", Subzone: "x"}}).Draw(t, "locality")
	if rapid.Bool().Draw(t, "described") {
		e.WorkloadName, e.Cluster = rapid.StringN(0, 40, 200).Draw(t, "workload"), mesh.DefaultCluster
		e.Workload.Namespace = "shop"
	}
	return e
}

// throng is a service with many endpoints.
func throng(n int) (*mesh.Snapshot, mesh.ServiceID, *mesh.EndpointSet) {
	snap, id := mesh.NewSnapshot(defaultSettings()), serviceID(0)
	svc := &mesh.Service{ID: id, Ports: []mesh.Port{{Name: "http", Number: 80, Protocol: mesh.HTTP}}, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 9, 0, 1})}}
	snap.Services, snap.Hosts = snap.Services.With(id, svc), snap.Hosts.With(id.Host, []mesh.ServiceID{id})
	set := &mesh.EndpointSet{Service: id}
	for i := range n {
		set.Endpoints = append(set.Endpoints, one(i))
	}
	snap.Endpoints = snap.Endpoints.With(id, set)
	return snap, id, set
}

func one(i int) *mesh.Endpoint {
	return &mesh.Endpoint{Address: mesh.IPAddress(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})), MTLS: true, Ports: map[string]uint16{"http": 8080},
		WorkloadName: "web", Workload: mesh.WorkloadID{Namespace: "a"}}
}

func replaced(snap *mesh.Snapshot, id mesh.ServiceID, list []*mesh.Endpoint) *mesh.Snapshot {
	next := *snap
	next.Revision++
	next.Endpoints = next.Endpoints.With(id, &mesh.EndpointSet{Service: id, Endpoints: list})
	return &next
}

// Of a service with 5,000 endpoints one that comes, goes or changes is the only one that is encoded, and no other resource is compiled.
func TestOneEndpointIsEncodedAlone(t *testing.T) {
	const many = 5000
	snap, id, set := throng(many)
	m := New()
	p := somebody("a", nil, mesh.Sidecar, true)
	store, _ := m.Publish(snap)
	held, _ := everythingOf(store, p)
	if n := m.EncodedEndpoints(); n != many {
		t.Fatalf("%d endpoints encoded at first", n)
	}
	list := set.Endpoints
	changed := slices.Clone(list)
	other := *list[2000]
	other.Weight = 3
	changed[2000] = &other
	for _, step := range []struct {
		what string
		list []*mesh.Endpoint
		want uint64
	}{
		{"one changes", changed, 1}, {"it goes", slices.Delete(slices.Clone(changed), 2000, 2001), 0}, {"it comes back", changed, 1},
		{"another one comes first", slices.Insert(slices.Clone(changed), 0, one(many)), 1}, {"half of them go", changed[many/2:], 0},
	} {
		before, computed := m.EncodedEndpoints(), m.Stats().Computed
		snap = replaced(snap, id, step.list)
		store, changes := m.Publish(snap)
		told := 0
		for n := range changes {
			told++
			r, _ := store.Resource(p, n)
			held = append(held, r)
			fresh, _ := New().Publish(snap)
			if want, _ := fresh.Resource(p, n); version(r) != version(want) {
				t.Errorf("%s: %s differs from scratch", step.what, n)
			}
		}
		if n := m.EncodedEndpoints() - before; n != step.want {
			t.Errorf("%s: %d endpoints encoded, want %d", step.what, n, step.want)
		}
		if n := m.Stats().Computed - computed; told != 1 || n != 1 {
			t.Errorf("%s: %d names told and %d compiled, want the assignment alone", step.what, told, n)
		}
	}
	runtime.KeepAlive(held)
}

// BenchmarkOneEndpoint is the change of one endpoint of a service with 5,000, until its bytes are there.
func BenchmarkOneEndpoint(b *testing.B) {
	snap, id, set := throng(5000)
	m := New()
	p := somebody("a", nil, mesh.Sidecar, true)
	store, _ := m.Publish(snap)
	held, _ := everythingOf(store, p)
	b.ReportAllocs()
	start := used()
	for i := 0; b.Loop(); i++ {
		list := slices.Clone(set.Endpoints)
		e := *list[i%len(list)]
		e.Weight = uint32(i)
		list[i%len(list)] = &e
		snap = replaced(snap, id, list)
		store, changes := m.Publish(snap)
		for n := range changes {
			held[0], _ = store.Resource(p, n)
		}
	}
	b.ReportMetric(float64((used()-start).Microseconds())/float64(b.N), "cpu-µs")
	b.ReportMetric(float64(m.EncodedEndpoints()-5000)/float64(b.N), "encoded")
	runtime.KeepAlive(held)
}

func structOf(key, text string) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{key: structpb.NewStringValue(text)}}
}
