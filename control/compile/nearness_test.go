package compile

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/test/golden"
	"github.com/heddle-mesh/heddle/xds"
)

func place(text string) mesh.Locality {
	p := append(strings.Split(text, "/"), "", "")
	return mesh.Locality{Region: p[0], Zone: p[1], Subzone: p[2]}
}

func pattern(text string) mesh.LocalityPattern { return mesh.LocalityPattern(place(text)) }

// spread is a service with two endpoints in eu/a and one in each of eu/b, us/a and ap/a, of version v1 where the zone is a, and its policy.
func spread(p mesh.TrafficPolicy, near bool) *mesh.Snapshot {
	s := mesh.NewSnapshot(defaultSettings())
	id := mesh.ServiceID{Namespace: "shop", Host: "d.shop.svc.cluster.local"}
	svc := &mesh.Service{ID: id, Ports: []mesh.Port{{Name: "http", Number: 80, Protocol: mesh.HTTP}}, Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.1")}}
	if near {
		svc.Near = mesh.NearZone
	}
	s.Services, s.Hosts = s.Services.With(id, svc), s.Hosts.With(id.Host, []mesh.ServiceID{id})
	s.Traffic = s.Traffic.With(id.Host, []*mesh.Traffic{{Origin: mesh.Ref{Kind: "DestinationRule", Namespace: "shop", Name: "d"}, Host: id.Host, Policy: p}})
	set := &mesh.EndpointSet{Service: id}
	for i, at := range []string{"eu/a", "eu/a", "eu/b", "us/a", "ap/a"} {
		e := &mesh.Endpoint{Address: mesh.IPAddress(netip.AddrFrom4([4]byte{10, 1, 0, byte(i)})), Locality: place(at), Labels: mesh.Labels{}, Network: mesh.DefaultNetwork, Node: fmt.Sprint("n", i)}
		if e.Locality.Zone == "a" {
			e.Labels["version"] = "v1"
		}
		set.Endpoints = append(set.Endpoints, e)
	}
	s.Endpoints = s.Endpoints.With(id, set)
	client := mesh.WorkloadID{Cluster: mesh.DefaultCluster, Namespace: "shop", Kind: "Pod", Name: "client"} // on the node of the endpoint in eu/b
	s.Workloads = s.Workloads.With(client, &mesh.Workload{ID: client, Node: "n2", Locality: place("eu/b"), Services: []mesh.WorkloadService{{Service: id}}})
	return s
}

func proxyAt(at, version string) *mesh.Proxy {
	p := &mesh.Proxy{ID: at + version, Name: "client", Namespace: "shop", Locality: place(at), Envoy: true, Cluster: mesh.DefaultCluster, Network: mesh.DefaultNetwork, Labels: mesh.Labels{}}
	if version != "" {
		p.Labels["version"] = version
	}
	return p
}

// alike is a proxy that asks where its like run.
func alike(p *mesh.Proxy) *mesh.Proxy {
	p.Metadata = map[string]string{"ENABLE_SELF_DISCOVERY": "true"}
	return p
}

// older is a heddle-proxy that can do less.
func older(p *mesh.Proxy, features ...mesh.Feature) *mesh.Proxy {
	p.Envoy, p.Features = false, map[mesh.Feature]bool{}
	for _, f := range features {
		p.Features[f] = true
	}
	return p
}

// TestNearness: which localities a client is given, LOCALITY priority×weight, under a setting.
func TestNearness(t *testing.T) {
	outlier := &mesh.OutlierDetection{}
	v1 := "v1"
	with := func(l mesh.LocalityBalance) mesh.TrafficPolicy {
		return mesh.TrafficPolicy{LoadBalancer: &mesh.LoadBalancer{Locality: &l}, Outlier: outlier}
	}
	shares := mesh.LocalityBalance{Distribute: []mesh.Distribution{
		{From: pattern("us/*"), To: []mesh.LocalityShare{{To: pattern("us"), Weight: 100}}},
		{From: pattern("eu/a"), To: []mesh.LocalityShare{{To: pattern("eu/*"), Weight: 80}, {To: pattern("us/a"), Weight: 20}}},
	}}
	const plain = "ap/a 0×1, eu/a 0×2, eu/b 0×1, us/a 0×1"
	tests := map[string]struct {
		policy  mesh.TrafficPolicy
		near    bool
		mesh    *mesh.LocalityBalance
		client  *mesh.Proxy
		want    string
		weights bool
	}{
		"nothing said":                {mesh.TrafficPolicy{}, false, nil, proxyAt("eu/a", ""), plain, false},
		"default":                     {mesh.TrafficPolicy{Outlier: outlier}, false, nil, proxyAt("eu/a", ""), "ap/a 2×1, eu/a 0×2, eu/b 1×1, us/a 2×1", false},
		"off in the rule":             {with(mesh.LocalityBalance{Off: true}), false, nil, proxyAt("eu/a", ""), plain, false},
		"off in the mesh":             {mesh.TrafficPolicy{Outlier: outlier}, false, &mesh.LocalityBalance{Off: true}, proxyAt("eu/a", ""), plain, false},
		"on in the rule, off in mesh": {with(mesh.LocalityBalance{}), false, &mesh.LocalityBalance{Off: true}, proxyAt("us/x", ""), "ap/a 1×1, eu/a 1×2, eu/b 1×1, us/a 0×1", false},
		"failover region":             {with(mesh.LocalityBalance{Failover: []mesh.RegionFailover{{From: "us", To: "ap"}}}), false, nil, proxyAt("us/a", ""), "ap/a 1×1, eu/a 2×2, eu/b 2×1, us/a 0×1", false},
		"another client's failover":   {with(mesh.LocalityBalance{Failover: []mesh.RegionFailover{{From: "us", To: "ap"}}}), false, nil, proxyAt("eu/b", ""), "ap/a 2×1, eu/a 1×2, eu/b 0×1, us/a 2×1", false},
		"shares":                      {with(shares), false, nil, proxyAt("eu/a", ""), "eu/a 0×54, eu/b 0×27, us/a 0×20", true},
		"shares of the mesh":          {mesh.TrafficPolicy{}, false, &shares, proxyAt("us/c", ""), "us/a 0×100", true},
		"shares for others":           {with(shares), false, nil, proxyAt("ap/a", ""), plain, true},
		"shares and a hash": {mesh.TrafficPolicy{LoadBalancer: &mesh.LoadBalancer{Locality: &shares, Hash: &mesh.ConsistentHash{SourceIP: true}}, Outlier: outlier}, false, nil,
			proxyAt("eu/a", ""), "eu/a 0×54, eu/b 0×27, us/a 0×20", true},
		"shares and a hash, of a proxy with one ring": {mesh.TrafficPolicy{LoadBalancer: &mesh.LoadBalancer{Locality: &shares, Hash: &mesh.ConsistentHash{SourceIP: true}}, Outlier: outlier}, false, nil,
			older(proxyAt("eu/a", ""), mesh.FeatureHash), plain, false},
		"labels": {with(mesh.LocalityBalance{Labels: []mesh.LabelPriority{{Key: mesh.LabelRegion}, {Key: "version"}}}), false, nil, proxyAt("eu/b", "v1"),
			"ap/a 2×1, eu/a 0×2, eu/b 1×1, us/a 2×1", false},
		"label that both lack":  {with(mesh.LocalityBalance{Labels: []mesh.LabelPriority{{Key: "version"}}}), false, nil, proxyAt("eu/b", ""), "ap/a 1×1, eu/a 1×2, eu/b 0×1, us/a 1×1", false},
		"the node":              {with(mesh.LocalityBalance{Labels: []mesh.LabelPriority{{Key: mesh.LabelHostname}}}), false, nil, proxyAt("eu/a", ""), "ap/a 1×1, eu/a 1×2, eu/b 0×1, us/a 1×1", false},
		"label with a value":    {with(mesh.LocalityBalance{Labels: []mesh.LabelPriority{{Key: "version", Value: &v1}}}), false, nil, proxyAt("eu/b", ""), "ap/a 0×1, eu/a 0×2, eu/b 1×1, us/a 0×1", false},
		"labels, then a region": {with(mesh.LocalityBalance{Labels: []mesh.LabelPriority{{Key: "version", Value: &v1}}, Failover: []mesh.RegionFailover{{From: "eu", To: "us"}}}), false, nil, proxyAt("eu/a", ""), "ap/a 2×1, eu/a 0×2, eu/b 3×1, us/a 1×1", false},
		"a Service that asks for it, without outlier detection": {mesh.TrafficPolicy{}, true, nil, proxyAt("eu/a", ""), "ap/a 2×1, eu/a 0×2, eu/b 1×1, us/a 2×1", false},
		"zones, of a client that does not know its like":        {with(mesh.LocalityBalance{Zoned: true}), false, nil, proxyAt("eu/a", ""), plain, false},
		"zones, without outlier detection":                      {mesh.TrafficPolicy{LoadBalancer: &mesh.LoadBalancer{Locality: &mesh.LocalityBalance{Zoned: true}}}, false, nil, alike(proxyAt("eu/a", "")), "ap/a 1×1, eu/a 0×2, eu/b 0×1, us/a 1×1", false},
		"zones of the mesh":                                     {mesh.TrafficPolicy{}, false, &mesh.LocalityBalance{Zoned: true, Failover: []mesh.RegionFailover{{From: "us", To: "ap"}}}, alike(proxyAt("us/x", "")), "ap/a 1×1, eu/a 2×2, eu/b 2×1, us/a 0×1", false},
		"zones and labels":                                      {with(mesh.LocalityBalance{Zoned: true, Labels: []mesh.LabelPriority{{Key: "version", Value: &v1}}}), false, nil, alike(proxyAt("eu/b", "")), "ap/a 1×1, eu/a 0×2, eu/b 2×1, us/a 1×1", false},
		"zones off in the rule, before the mesh":                {with(mesh.LocalityBalance{Zoned: true, Off: true}), false, &mesh.LocalityBalance{}, alike(proxyAt("eu/a", "")), plain, false},
		"the Service before the zones of the mesh":              {mesh.TrafficPolicy{}, true, &mesh.LocalityBalance{Zoned: true}, alike(proxyAt("eu/a", "")), "ap/a 2×1, eu/a 0×2, eu/b 1×1, us/a 2×1", false},
		"a client whose workload's place is known":              {mesh.TrafficPolicy{Outlier: outlier}, false, nil, proxyAt("", ""), "ap/a 2×1, eu/a 1×2, eu/b 0×1, us/a 2×1", false},
		"the rule before the Service":                           {with(mesh.LocalityBalance{Off: true}), true, nil, proxyAt("eu/a", ""), plain, false},
	}
	for name, tt := range tests {
		snap := spread(tt.policy, tt.near)
		snap.Settings.Locality = tt.mesh
		store, _ := New().Publish(snap)
		if got := localities(t, store, tt.client); got != tt.want {
			t.Errorf("%s: got  %s\nwant %s", name, got, tt.want)
		}
		r, _ := store.Resource(tt.client, xds.Name{TypeURL: xds.Cluster, Name: "outbound|80||d.shop.svc.cluster.local"})
		text, err := golden.Show(r, "commonLbConfig")
		if weights := strings.Contains(text, "localityWeightedLbConfig"); err == nil && weights != tt.weights {
			t.Errorf("%s: the cluster has %s", name, text)
		}
	}
}

func localities(t *testing.T, store *Store, p *mesh.Proxy) string {
	t.Helper()
	r, ok := store.Resource(p, xds.Name{TypeURL: xds.Endpoints, Name: "outbound|80||d.shop.svc.cluster.local"})
	if !ok {
		t.Fatal("no endpoints")
	}
	m, err := golden.Decode(r)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range m.(*endpointv3.ClusterLoadAssignment).Endpoints {
		out = append(out, fmt.Sprintf("%s/%s %d×%d", l.Locality.Region, l.Locality.Zone, l.Priority, l.LoadBalancingWeight.Value))
	}
	return strings.Join(out, ", ")
}

// TestNearnessLeavesFewVariants: clients share what a setting does not tell apart.
func TestNearnessLeavesFewVariants(t *testing.T) {
	name := xds.Name{TypeURL: xds.Endpoints, Name: "outbound|80||d.shop.svc.cluster.local"}
	tests := map[string]struct {
		balance mesh.LocalityBalance
		want    int
	}{
		"shares":   {mesh.LocalityBalance{Distribute: []mesh.Distribution{{From: pattern("eu"), To: []mesh.LocalityShare{{To: pattern("us"), Weight: 100}}}}}, 2},
		"a label":  {mesh.LocalityBalance{Labels: []mesh.LabelPriority{{Key: "version"}}}, 3}, // v1, none, and all other values
		"failover": {mesh.LocalityBalance{Failover: []mesh.RegionFailover{{From: "eu", To: "us"}}}, 9},
	}
	for what, tt := range tests {
		m := New()
		store, _ := m.Publish(spread(mesh.TrafficPolicy{LoadBalancer: &mesh.LoadBalancer{Locality: &tt.balance}, Outlier: &mesh.OutlierDetection{}}, false))
		var held []*xds.Resource
		for i := range 200 {
			p := proxyAt(fmt.Sprintf("%s/%c", []string{"eu", "us", "ap"}[i%3], 'a'+i/3%3), []string{"", "v1", fmt.Sprint("v", i)}[i/9%3])
			r, _ := store.Resource(p, name)
			held = append(held, r)
		}
		if got := m.Variants(name); got > tt.want {
			t.Errorf("%s: %d variants, want at most %d", what, got, tt.want)
		}
		runtime.KeepAlive(held)
	}
}

// TestAlike: a proxy's like are the endpoints of its services in its region, of its own ReplicaSet, each once.
func TestAlike(t *testing.T) {
	snap := spread(mesh.TrafficPolicy{}, false)
	id := mesh.ServiceID{Namespace: "shop", Host: "d.shop.svc.cluster.local"}
	again := mesh.ServiceID{Namespace: "shop", Host: "e.shop.svc.cluster.local"}
	set, _ := snap.Endpoints.Get(id)
	for i, e := range set.Endpoints {
		if i != 1 {
			e.Labels["pod-template-hash"] = "new"
		}
	}
	snap.Endpoints = snap.Endpoints.With(again, &mesh.EndpointSet{Service: again, Endpoints: set.Endpoints[:1]})
	w := mesh.WorkloadID{Cluster: mesh.DefaultCluster, Namespace: "shop", Kind: "Pod", Name: "client"}
	snap.Workloads = snap.Workloads.With(w, &mesh.Workload{ID: w, Services: []mesh.WorkloadService{{Service: id}, {Service: again}}})
	store, _ := New().Publish(snap)
	hashed := func(p *mesh.Proxy) *mesh.Proxy {
		p.Labels["pod-template-hash"] = "new"
		return p
	}
	for name, tt := range map[string]struct {
		client *mesh.Proxy
		want   string
	}{
		"asks for nobody":     {proxyAt("eu/a", ""), "none"},
		"any ReplicaSet":      {alike(proxyAt("eu/a", "")), "a 10.1.0.0 10.1.0.1, b 10.1.0.2"},
		"of a new ReplicaSet": {alike(hashed(proxyAt("eu/b", ""))), "a 10.1.0.0, b 10.1.0.2"},
		"alone in its region": {alike(proxyAt("us/x", "")), "a 10.1.0.3"},
		"nobody":              {alike(proxyAt("af/x", "")), ""},
	} {
		got := "none"
		if r, ok := store.Resource(tt.client, xds.Name{TypeURL: xds.Endpoints, Name: "local_cluster"}); ok {
			m, err := golden.Decode(r)
			if err != nil {
				t.Fatal(err)
			}
			var zones []string
			for _, l := range m.(*endpointv3.ClusterLoadAssignment).Endpoints {
				text := l.Locality.Zone
				for _, e := range l.LbEndpoints {
					text += " " + e.GetEndpoint().Address.GetSocketAddress().Address
				}
				zones = append(zones, text)
			}
			got = strings.Join(zones, ", ")
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
