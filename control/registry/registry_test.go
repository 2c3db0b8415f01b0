package registry

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/heddle-mesh/heddle/control/health"
	"github.com/heddle-mesh/heddle/control/registry/vip"
	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
)

var trust, _ = identity.ParseTrustDomain("cluster.local")

func options(t interface{ Fatal(...any) }) Options {
	a, err := vip.Open("")
	if err != nil {
		t.Fatal(err)
	}
	return Options{Cluster: "c1", Network: "n1", TrustDomain: trust, Addresses: a}
}

func ref(kind, name string) mesh.Ref { return mesh.Ref{Kind: kind, Namespace: "shop", Name: name} }

func sid(name string) mesh.ServiceID {
	return mesh.ServiceID{Namespace: "shop", Host: mesh.Host(name + ".shop.svc.cluster.local")}
}

func service(name string, selector mesh.Labels, targets map[string]Target) *Definition {
	s := &mesh.Service{ID: sid(name), ShortName: name, Registry: "Kubernetes", Selector: selector, Origin: ref("Service", name),
		Ports: []mesh.Port{{Name: "http", Number: 80, Protocol: mesh.HTTP}, {Name: "tcp", Number: 9000, Protocol: mesh.TCP}}}
	return &Definition{Origin: s.Origin, Services: []*mesh.Service{s}, Selector: selector, Targets: targets, Slices: true}
}

func workloadEntry(name, ip string, labels mesh.Labels) *Instance {
	a := netip.MustParseAddr(ip)
	return &Instance{ID: wid(KindWorkloadEntry, name), Origin: ref(KindWorkloadEntry, name), Address: mesh.IPAddress(a), Addresses: []netip.Addr{a},
		Labels: labels, ServiceAccount: "web", Name: name, Proxied: true, MTLS: true}
}

func wid(kind, name string) mesh.WorkloadID {
	return mesh.WorkloadID{Cluster: "c1", Namespace: "shop", Kind: kind, Name: name}
}

func pod(name, ip, node string, labels mesh.Labels) *Instance {
	in := workloadEntry(name, ip, labels)
	in.ID, in.Proxied, in.Node, in.Ports = wid(KindPod, name), false, node, map[string]uint16{"web": 8081}
	return in
}

func slice(svc, podName string, ips ...string) *Slice {
	s := &Slice{Service: sid(svc), Ports: map[string]uint16{"http": 8080}}
	for _, ip := range ips {
		s.Endpoints = append(s.Endpoints, SliceEndpoint{Addresses: []netip.Addr{netip.MustParseAddr(ip)}, Pod: podName})
	}
	return s
}

func TestServiceSelectsWorkloadEntries(t *testing.T) {
	opts := options(t)
	state := health.Unknown
	opts.Health = func(health.Workload) health.State { return state }
	x := New(opts)
	x.SetDefinition(ref("Service", "web"), service("web", mesh.Labels{"app": "web"}, map[string]Target{"http": {Number: 8080}, "tcp": {Name: "raw"}}))
	we := workloadEntry("web-1", "fd00::5", mesh.Labels{"app": "web", "version": "v2"})
	we.Ports = map[string]uint16{"raw": 7000}
	x.SetInstance(we.ID, we)
	other := workloadEntry("db-1", "10.0.0.9", mesh.Labels{"app": "db"})
	x.SetInstance(other.ID, other)
	d := x.Flush()
	s := d.Services[sid("web")]
	if !s.AutoAddress || len(s.Addresses) != 2 {
		t.Errorf("no address was given: %+v", s.Addresses)
	}
	eps := d.Endpoints[sid("web")].Endpoints
	if len(eps) != 1 {
		t.Fatalf("%d endpoints", len(eps))
	}
	want := &mesh.Endpoint{Address: mesh.IPAddress(netip.MustParseAddr("fd00::5")), Ports: map[string]uint16{"http": 8080, "tcp": 7000},
		Labels: we.Labels, Workload: we.ID, Identity: identity.NewID(trust, "shop", "web"), Cluster: "c1", Network: "n1", Health: mesh.Unhealthy, MTLS: true,
		App: "web", Version: "v2", CanonicalService: "web", CanonicalRevision: "v2", WorkloadName: "web-1"}
	if diff := cmp.Diff(want, eps[0], comparers...); diff != "" {
		t.Error(diff)
	}
	if w := d.Workloads[we.ID]; len(w.Services) != 1 || w.Services[0].Service != sid("web") || w.Services[0].Ports["http"] != 8080 {
		t.Errorf("workload %+v", w)
	}
	// Its proxy connects, and leaves.
	for _, step := range []struct {
		state health.State
		want  mesh.Health
	}{{health.Alive, mesh.Healthy}, {health.Gone, mesh.Unhealthy}, {health.Presumed, mesh.Healthy}} {
		state = step.state
		x.HealthChanged([]health.Workload{{Namespace: "shop", Name: "web-1"}})
		d := x.Flush()
		if len(d.Services) != 0 || len(d.Endpoints) != 1 || d.Endpoints[sid("web")].Endpoints[0].Health != step.want {
			t.Errorf("state %v: %+v", step.state, d)
		}
	}
	// It is leaving: it takes no traffic, whatever its proxy does.
	leaving := *we
	leaving.NotReady = true
	x.SetInstance(we.ID, &leaving)
	if d := x.Flush(); d.Endpoints[sid("web")].Endpoints[0].Health != mesh.Unhealthy || len(d.Workloads[we.ID].Services) != 1 {
		t.Errorf("not ready: %+v", d)
	}
	// Without a mark, a proxy that never came says nothing.
	state = health.Unknown
	other.Proxied = false
	x.SetDefinition(ref("Service", "db"), service("db", mesh.Labels{"app": "db"}, nil))
	if e := x.Flush().Endpoints[sid("db")].Endpoints[0]; e.Health != mesh.Healthy || e.Ports["http"] != 80 {
		t.Errorf("%+v", e)
	}
}

func TestSlicesAndPods(t *testing.T) {
	x := New(options(t))
	x.SetDefinition(ref("Service", "web"), service("web", mesh.Labels{"app": "web"}, map[string]Target{"http": {Name: "web"}, "tcp": {Name: "gone"}}))
	x.SetSlice(ref("EndpointSlice", "web-a"), slice("web", "web-1", "10.1.0.1"))
	x.SetSlice(ref("EndpointSlice", "web-b"), slice("web", "", "10.1.0.2", "10.1.0.1"))
	x.SetNode("node-1", mesh.Locality{Region: "eu", Zone: "eu-a"})
	d := x.Flush()
	if n := len(d.Endpoints[sid("web")].Endpoints); n != 2 {
		t.Fatalf("%d endpoints: an address in two slices counts once", n)
	}
	p := pod("web-1", "10.1.0.1", "node-1", mesh.Labels{"app": "web"})
	x.SetInstance(p.ID, p)
	d = x.Flush()
	if len(d.Services) != 0 {
		t.Error("a pod changed a service")
	}
	eps := d.Endpoints[sid("web")].Endpoints
	if eps[0].Identity.ServiceAccount() != "web" || eps[0].Locality.Zone != "eu-a" || !eps[0].Identity.IsZero() && eps[1].Workload.Name != "" {
		t.Errorf("%+v", eps[0])
	}
	if w := d.Workloads[p.ID]; w.Services[0].Ports["http"] != 8081 || w.Services[0].Ports["tcp"] != 0 {
		t.Errorf("ports %v", w.Services[0].Ports)
	}
	before := eps[1]
	x.SetNode("node-1", mesh.Locality{Region: "eu", Zone: "eu-b"})
	d = x.Flush()
	if e := d.Endpoints[sid("web")].Endpoints; e[0].Locality.Zone != "eu-b" || e[1] != before {
		t.Error("the node's change is missing, or an unchanged endpoint lost its pointer")
	}
	x.SetSlice(ref("EndpointSlice", "web-b"), slice("web", "", "10.1.0.2", "10.1.0.1"))
	if d = x.Flush(); !d.Empty() {
		t.Errorf("nothing differs, yet %+v", d)
	}
}

var comparers = []cmp.Option{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b mesh.Address) bool { return a == b }),
	cmp.Comparer(func(a, b identity.ID) bool { return a == b }), cmpopts.EquateEmpty(),
}

// tables is what a reader that applies deltas holds.
type tables struct {
	Services  map[mesh.ServiceID]*mesh.Service
	Endpoints map[mesh.ServiceID]*mesh.EndpointSet
	Workloads map[mesh.WorkloadID]*mesh.Workload
}

func newTables() tables {
	return tables{map[mesh.ServiceID]*mesh.Service{}, map[mesh.ServiceID]*mesh.EndpointSet{}, map[mesh.WorkloadID]*mesh.Workload{}}
}

func (s tables) apply(d Delta) {
	merge(s.Services, d.Services)
	merge(s.Endpoints, d.Endpoints)
	merge(s.Workloads, d.Workloads)
}

func merge[K comparable, V any](into, from map[K]*V) {
	for k, v := range from {
		if into[k] = v; v == nil {
			delete(into, k)
		}
	}
}

// world is a random state of the sources: each thing by name, absent when nil.
type world struct {
	defs   map[string]*Definition
	slices map[string]*Slice
	pods   map[string]*Instance
	nodes  map[string]mesh.Locality
}

func (w world) load(x *Index) {
	for n, d := range w.defs {
		x.SetDefinition(ref("Service", n), d)
	}
	for n, s := range w.slices {
		x.SetSlice(ref("EndpointSlice", n), s)
	}
	for _, p := range w.pods {
		if p != nil {
			x.SetInstance(p.ID, p)
		}
	}
	for n, l := range w.nodes {
		x.SetNode(n, l)
	}
}

// After any edits in any batches the index gives what an index built from the end state gives.
func TestIncrementalEqualsFromScratch(t *testing.T) {
	names := rapid.SampledFrom([]string{"a", "b", "c"})
	labels := rapid.SampledFrom([]mesh.Labels{{"app": "x"}, {"app": "y"}, {"app": "x", "v": "1"}, {}})
	rapid.Check(t, func(t *rapid.T) {
		opts := options(t)
		x, got := New(opts), newTables()
		w := world{map[string]*Definition{}, map[string]*Slice{}, map[string]*Instance{}, map[string]mesh.Locality{}}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			n, drop := names.Draw(t, "name"), rapid.IntRange(0, 3).Draw(t, "drop") == 0
			switch rapid.IntRange(0, 4).Draw(t, "op") {
			case 0:
				var d *Definition
				if !drop {
					// Two objects may define the same service.
					d = service(names.Draw(t, "host"), labels.Draw(t, "selector"), map[string]Target{"http": {Number: uint16(rapid.IntRange(1, 3).Draw(t, "port"))}})
					d.Origin = ref("Service", n)
					d.Slices = rapid.Bool().Draw(t, "slices")
					s := *d.Services[0]
					s.Origin, s.Headless = d.Origin, rapid.Bool().Draw(t, "headless")
					s.Created = time.Unix(int64(rapid.IntRange(0, 2).Draw(t, "age")), 0)
					d.Services[0] = &s
				}
				w.defs[n] = d
				x.SetDefinition(ref("Service", n), d)
			case 1:
				var s *Slice
				if !drop {
					s = slice(names.Draw(t, "of"), rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "pod"), fmt.Sprintf("10.0.0.%d", rapid.IntRange(1, 3).Draw(t, "ip")))
				}
				w.slices[n] = s
				x.SetSlice(ref("EndpointSlice", n), s)
			case 2, 3:
				in := pod(n, fmt.Sprintf("10.0.0.%d", map[string]int{"a": 1, "b": 2, "c": 3}[n]), rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "node"), labels.Draw(t, "labels"))
				if rapid.Bool().Draw(t, "entry") {
					in.ID.Kind, n = KindWorkloadEntry, n+"-entry"
				}
				if id := in.ID; drop {
					w.pods[n] = nil
					x.SetInstance(id, nil)
				} else {
					w.pods[n] = in
					x.SetInstance(id, in)
				}
			case 4:
				l := mesh.Locality{Zone: rapid.SampledFrom([]string{"", "z1", "z2"}).Draw(t, "zone")}
				node := rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "node")
				w.nodes[node] = l
				x.SetNode(node, l)
			}
			if rapid.Bool().Draw(t, "flush") {
				got.apply(x.Flush())
			}
		}
		got.apply(x.Flush())
		scratch, want := New(opts), newTables()
		w.load(scratch)
		want.apply(scratch.Flush())
		for _, m := range []tables{got, want} {
			for _, wl := range m.Workloads {
				if !slices.IsSortedFunc(wl.Services, func(a, b mesh.WorkloadService) int { return mesh.CompareServiceID(a.Service, b.Service) }) {
					t.Fatal("services of a workload are not ordered")
				}
			}
		}
		if d := cmp.Diff(want, got, comparers...); d != "" {
			t.Fatal(d)
		}
	})
}
