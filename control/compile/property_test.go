package compile

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/heddle-mesh/heddle/authz"
	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

var someTypes = []string{xds.Cluster, xds.Listener, xds.Route, xds.VirtualHost, xds.NameTable, xds.Secret}

// someSecrets are asked for by name: no list has them.
var someSecrets = []string{"kubernetes://a/c", "kubernetes://a/c-cacert", "kubernetes://b/c", "kubernetes://b/c-cacert"}

// After any edits in any order, what is compiled is what a new Memo compiles from the same snapshot; and a proxy that was not told of a change has the
// right bytes still: a key that was not read cannot change them.
func TestIncrementalEqualsScratch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := New()
		snap := mesh.NewSnapshot(defaultSettings())
		proxies := []*mesh.Proxy{
			somebody("a", map[string]string{"app": "s0"}, mesh.Sidecar, true), somebody("b", map[string]string{"app": "s1"}, mesh.Sidecar, false),
			somebody("a", map[string]string{"gate": "g"}, mesh.Router, true),
		}
		have := make([]map[xds.Name]*xds.Resource, len(proxies))
		lists := make([]map[string][]string, len(proxies))
		for i := range proxies {
			have[i], lists[i] = map[xds.Name]*xds.Resource{}, map[string][]string{}
		}
		for range rapid.IntRange(1, 12).Draw(t, "rounds") {
			next := *snap
			next.Revision++
			for range rapid.IntRange(1, 4).Draw(t, "edits") {
				edit(t, &next)
			}
			snap = &next
			store, changes := m.Publish(snap)
			told := map[xds.Name]map[*xds.Resource]bool{}
			for n, before := range changes {
				if told[n] == nil {
					told[n] = map[*xds.Resource]bool{}
				}
				told[n][before] = true
			}
			fresh, _ := New().Publish(snap)
			for i, p := range proxies {
				check(t, store, fresh, p, told, have[i], lists[i])
			}
		}
		runtime.KeepAlive(have)
	})
}

func check(t *rapid.T, store, fresh *Store, p *mesh.Proxy, told map[xds.Name]map[*xds.Resource]bool, have map[xds.Name]*xds.Resource, lists map[string][]string) {
	for _, url := range someTypes {
		var want []string
		for n := range fresh.Names(p, url) {
			want = append(want, n)
		}
		if held, ok := lists[url]; ok && told[xds.Name{TypeURL: url}] == nil && fmt.Sprint(held) != fmt.Sprint(want) {
			t.Fatalf("the %s list of %s changed from %v to %v and nobody was told", xds.ShortType(url), p.ID, held, want)
		}
		var got []string
		for n := range store.Names(p, url) {
			got = append(got, n)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s of %s: %v, from scratch %v", xds.ShortType(url), p.ID, got, want)
		}
		lists[url] = got
		names := map[xds.Name]bool{}
		for _, n := range got {
			names[xds.Name{TypeURL: url, Name: n}] = true
			if url == xds.Cluster {
				names[xds.Name{TypeURL: xds.Endpoints, Name: n}] = true
			}
		}
		if url == xds.Secret {
			for _, n := range someSecrets {
				names[xds.Name{TypeURL: url, Name: n}] = true
			}
		}
		for n := range have {
			if n.TypeURL == url || url == xds.Cluster && n.TypeURL == xds.Endpoints {
				names[n] = true
			}
		}
		for n := range names {
			want, _ := fresh.Resource(p, n)
			if held, ok := have[n]; ok && !told[n][held] && !told[n][nil] && version(held) != version(want) {
				t.Fatalf("%s of %s changed and nobody was told", n, p.ID)
			}
			got, _ := store.Resource(p, n)
			if version(got) != version(want) {
				t.Fatalf("%s of %s differs from scratch", n, p.ID)
			}
			have[n] = got
		}
	}
}

func version(r *xds.Resource) string {
	if r == nil {
		return ""
	}
	return r.Version
}

func somebody(ns string, labels map[string]string, kind mesh.ProxyKind, envoy bool) *mesh.Proxy {
	return &mesh.Proxy{
		ID: fmt.Sprint(ns, labels), Name: "w-" + ns, Namespace: mesh.Namespace(ns), Labels: labels, Kind: kind, Envoy: envoy, Cluster: mesh.DefaultCluster,
		Network: mesh.DefaultNetwork, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.9")}, Locality: mesh.Locality{Region: "r", Zone: ns},
		Features: map[mesh.Feature]bool{mesh.FeatureVHDS: !envoy, mesh.FeatureRBAC: true, mesh.FeatureFault: true},
	}
}

// serviceID is one of a few services; the last ones have the short names of others for their hosts, or the host of another.
func serviceID(i int) mesh.ServiceID {
	ns := []string{"a", "b"}[i%2]
	switch {
	case i >= 8:
		return mesh.ServiceID{Namespace: mesh.Namespace(ns), Host: serviceID(9 - i).Host}
	case i >= 6:
		return mesh.ServiceID{Namespace: mesh.Namespace(ns), Host: []mesh.Host{"s0.b", "s0"}[i%2]}
	}
	return mesh.ServiceID{Namespace: mesh.Namespace(ns), Host: mesh.Host(fmt.Sprintf("s%d.%s.svc.cluster.local", i/2, ns))}
}

// host lists the services of a host again, the oldest first.
func host(s *mesh.Snapshot, h mesh.Host) {
	var ids []mesh.ServiceID
	for id := range s.Services.All() {
		if id.Host == h {
			ids = append(ids, id)
		}
	}
	slices.SortStableFunc(ids, func(a, b mesh.ServiceID) int {
		x, _ := s.Services.Get(a)
		y, _ := s.Services.Get(b)
		return x.Created.Compare(y.Created)
	})
	if s.Hosts = s.Hosts.With(h, ids); len(ids) == 0 {
		s.Hosts = s.Hosts.Without(h)
	}
}

// edit changes one noun of a small mesh, keeping the indexes as control/snapshot does.
func edit(t *rapid.T, s *mesh.Snapshot) {
	pick := rapid.IntRange(0, 9).Draw(t, "which")
	id := serviceID(pick)
	drop := rapid.IntRange(0, 4).Draw(t, "drop") == 0
	age := time.Unix(int64(rapid.IntRange(0, 9).Draw(t, "age")), 0)
	switch rapid.IntRange(0, 10).Draw(t, "kind") {
	case 0:
		if drop {
			s.Services = s.Services.Without(id)
			host(s, id.Host)
			return
		}
		svc := &mesh.Service{ID: id, Created: age, ShortName: "s", Registry: "Kubernetes", Origin: mesh.Ref{Kind: "Service", Namespace: id.Namespace, Name: string(id.Host)}}
		svc.Headless = rapid.IntRange(0, 5).Draw(t, "headless") == 0
		if !svc.Headless && rapid.Bool().Draw(t, "vip") {
			svc.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, 9, 0, byte(pick)})}
		}
		svc.ExportTo.Private = rapid.IntRange(0, 3).Draw(t, "private") == 0
		for _, n := range []uint16{80, 90} {
			if rapid.Bool().Draw(t, "port") {
				svc.Ports = append(svc.Ports, mesh.Port{Name: fmt.Sprint("p", n), Number: n, Protocol: rapid.SampledFrom([]mesh.Protocol{mesh.Auto, mesh.TCP, mesh.HTTP, mesh.TLS, mesh.GRPC}).Draw(t, "protocol")})
			}
		}
		s.Services = s.Services.With(id, svc)
		host(s, id.Host)
	case 1:
		trust, _ := identity.ParseTrustDomain("cluster.local")
		set := &mesh.EndpointSet{Service: id}
		for i := range rapid.IntRange(0, 3).Draw(t, "endpoints") {
			set.Endpoints = append(set.Endpoints, &mesh.Endpoint{
				Address: mesh.IPAddress(netip.AddrFrom4([4]byte{10, 1, byte(pick), byte(i)})), Labels: mesh.Labels{"v": fmt.Sprint(i)}, MTLS: rapid.Bool().Draw(t, "mtls"),
				Identity: identity.NewID(trust, "a", fmt.Sprint("sa", rapid.IntRange(0, 1).Draw(t, "account"))), Locality: mesh.Locality{Region: "r", Zone: "a"},
			})
		}
		s.Endpoints = s.Endpoints.With(id, set)
	case 2:
		host := mesh.Host(rapid.SampledFrom([]string{string(id.Host), "*.a.svc.cluster.local", "orphan.example.com"}).Draw(t, "host"))
		old, _ := s.MeshRoutes.Get(host)
		for _, r := range old {
			s.Routes = s.Routes.Without(r.Origin)
		}
		if drop {
			s.MeshRoutes = s.MeshRoutes.Without(host)
			return
		}
		r := someRoute(t, id, host, age)
		s.MeshRoutes, s.Routes = s.MeshRoutes.With(host, []*mesh.Route{r}), s.Routes.With(r.Origin, r)
	case 3:
		if drop {
			s.Traffic = s.Traffic.Without(id.Host)
			return
		}
		rule := &mesh.Traffic{Origin: mesh.Ref{Kind: "DestinationRule", Namespace: mesh.Namespace(rapid.SampledFrom([]string{"a", "b", "istio-system"}).Draw(t, "ns")), Name: "d"}, Host: id.Host}
		rule.Subsets = []mesh.Subset{{Name: "v0", Labels: mesh.Labels{"v": "0"}}}
		if rapid.Bool().Draw(t, "outlier") {
			rule.Policy.Outlier = &mesh.OutlierDetection{Interval: time.Second}
		}
		if rapid.Bool().Draw(t, "selector") {
			rule.Selector = mesh.Labels{"app": "s0"}
		}
		if rapid.IntRange(0, 2).Draw(t, "credential") == 0 {
			rule.Policy.TLS = &mesh.ClientTLS{Mode: mesh.TLSMode(rapid.IntRange(0, 3).Draw(t, "tls")), CredentialName: rapid.SampledFrom([]string{"", "c", "a/c"}).Draw(t, "shown"), CACredential: rapid.SampledFrom([]string{"", "c"}).Draw(t, "roots")}
		}
		s.Traffic = s.Traffic.With(id.Host, []*mesh.Traffic{rule})
	case 4:
		ns := rapid.SampledFrom([]mesh.Namespace{"a", "b", "istio-system"}).Draw(t, "ns")
		s.Authn = s.Authn.With(ns, []*mesh.PeerAuthn{{Origin: mesh.Ref{Kind: "PeerAuthentication", Namespace: ns, Name: "p"}, Mode: mesh.MTLSMode(rapid.IntRange(0, 3).Draw(t, "mode"))}})
	case 5:
		ns := rapid.SampledFrom([]mesh.Namespace{"a", "b", "istio-system"}).Draw(t, "ns")
		if drop {
			s.Authz = s.Authz.Without(ns)
			return
		}
		s.Authz = s.Authz.With(ns, []*mesh.Authorization{{Origin: mesh.Ref{Kind: "AuthorizationPolicy", Namespace: ns, Name: "z"}, Scope: mesh.Scope{Selector: mesh.Labels{"app": "s0"}},
			Policy: authz.Policy{Namespace: string(ns), Name: "z", Action: authz.Action(rapid.IntRange(0, 1).Draw(t, "action")), Rules: []authz.Rule{{}}}}})
	case 6:
		p := "w-" + string(id.Namespace)
		wid := mesh.WorkloadID{Cluster: mesh.DefaultCluster, Namespace: id.Namespace, Kind: "Pod", Name: p}
		if drop {
			s.Workloads = s.Workloads.Without(wid)
			return
		}
		s.Workloads = s.Workloads.With(wid, &mesh.Workload{ID: wid, Services: []mesh.WorkloadService{{Service: id, Ports: map[string]uint16{"p80": 8080}}}})
	case 7:
		gid := mesh.GatewayID{Namespace: "a", Name: "g"}
		if drop {
			s.Gateways = s.Gateways.Without(gid)
			return
		}
		s.Gateways = s.Gateways.With(gid, &mesh.Gateway{ID: gid, Selector: mesh.Labels{"gate": "g"}, Servers: []mesh.Server{{
			Name: "http", Port: 80, Protocol: mesh.HTTP, Hosts: []mesh.ServerHost{{Host: "*"}}, HTTPSRedirect: rapid.Bool().Draw(t, "redirect"),
		}}})
		s.GateRoutes = s.GateRoutes.With(gid, []*mesh.Route{someRoute(t, id, "front.example.com", age)})
	case 8:
		ns := rapid.SampledFrom([]mesh.Namespace{"a", "b", "istio-system"}).Draw(t, "ns")
		if drop {
			s.Sidecars = s.Sidecars.Without(ns)
			return
		}
		s.Sidecars = s.Sidecars.With(ns, []*mesh.SidecarScope{someSidecar(t, ns)})
	case 9:
		ns := rapid.SampledFrom([]mesh.Namespace{"a", "b", "istio-system"}).Draw(t, "ns")
		if drop {
			s.Filters = s.Filters.Without(ns)
			return
		}
		s.Filters = s.Filters.With(ns, []*mesh.EnvoyFilter{someFilter(t, ns, id)})
	case 10:
		sid := mesh.SecretID{Namespace: id.Namespace, Name: "c"}
		if drop {
			s.Secrets = s.Secrets.Without(sid)
			return
		}
		secret := &mesh.Secret{ID: sid, CA: []byte{byte(pick)}}
		if rapid.Bool().Draw(t, "key") {
			secret.Key, secret.Certificate = []byte{1}, []byte{2}
		}
		s.Secrets = s.Secrets.With(sid, secret)
	}
}

func someRoute(t *rapid.T, to mesh.ServiceID, host mesh.Host, age time.Time) *mesh.Route {
	r := &mesh.Route{Origin: mesh.Ref{Kind: "VirtualService", Namespace: to.Namespace, Name: "r-" + string(host)}, Created: age, Hosts: []mesh.Host{host}, Mesh: true}
	m := mesh.HTTPMatch{Path: mesh.StringMatch{Kind: mesh.MatchPrefix, Value: rapid.SampledFrom([]string{"/", "/x"}).Draw(t, "path")}}
	if rapid.Bool().Draw(t, "source") {
		m.SourceLabels = mesh.Labels{"app": "s1"}
	}
	r.HTTP = []mesh.HTTPRule{{Matches: []mesh.HTTPMatch{m}, Backends: []mesh.Backend{{Host: to.Host, Service: to, Weight: 1}}}}
	r.ExportTo.Private = rapid.IntRange(0, 3).Draw(t, "private") == 0
	return r
}

func someSidecar(t *rapid.T, ns mesh.Namespace) *mesh.SidecarScope {
	s := &mesh.SidecarScope{Origin: mesh.Ref{Kind: "Sidecar", Namespace: ns, Name: "s"}}
	if rapid.Bool().Draw(t, "selected") {
		s.Selector = mesh.Labels{"app": "s0"}
	}
	if rapid.Bool().Draw(t, "policy") {
		s.Outbound = &mesh.OutboundPolicy{RegistryOnly: rapid.Bool().Draw(t, "registry only")}
	}
	if rapid.IntRange(0, 3).Draw(t, "ingress") == 0 {
		s.Ingress = []mesh.IngressListener{{Port: 8080, Protocol: mesh.HTTP, Capture: mesh.CaptureMode(rapid.IntRange(0, 2).Draw(t, "capture")), Endpoint: mesh.IPAddress(netip.IPv6Loopback()), EndpointPort: 81}}
		s.Pool = &mesh.ConnectionPool{MaxConnections: uint32(rapid.IntRange(0, 2).Draw(t, "most"))}
	}
	for _, port := range []uint16{80, 0} {
		if rapid.Bool().Draw(t, "egress") {
			e := mesh.EgressListener{Port: port}
			if port != 0 {
				e.Protocol = rapid.SampledFrom([]mesh.Protocol{mesh.HTTP, mesh.TCP, mesh.TLS}).Draw(t, "taken as")
				if rapid.Bool().Draw(t, "bound") {
					e.Bind, e.Proxy = mesh.IPAddress(netip.MustParseAddr("127.0.0.1")), e.Protocol == mesh.HTTP && rapid.Bool().Draw(t, "front")
				}
			}
			for range rapid.IntRange(1, 2).Draw(t, "imports") {
				e.Hosts = append(e.Hosts, mesh.Import{Namespace: rapid.SampledFrom([]mesh.Namespace{"*", ".", "a", "b"}).Draw(t, "space"),
					Host: rapid.SampledFrom([]mesh.Host{"*", "s0.a.svc.cluster.local", "*.b.svc.cluster.local"}).Draw(t, "imported"), Except: rapid.IntRange(0, 4).Draw(t, "except") == 0})
			}
			s.Egress = append(s.Egress, e)
		}
	}
	return s
}
