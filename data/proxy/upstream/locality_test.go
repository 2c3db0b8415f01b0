package upstream

import (
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// zone is a locality with some healthy and some sick endpoints, 10.0.N.x.
func zone(n int, weight, priority uint32, healthy, sick int) config.Locality {
	l := config.Locality{Weight: weight, Priority: priority}
	for i := range healthy + sick {
		e := &config.Endpoint{Address: netip.MustParseAddrPort(fmt.Sprintf("10.0.%d.%d:80", n, i)), Weight: 1}
		if i >= healthy {
			e.Health = config.Unhealthy
		}
		l.Endpoints = append(l.Endpoints, e)
	}
	return l
}

// TestLocalities: the shares of requests that two localities get, with sick endpoints in them, as Envoy computes them (1.4 times the healthy share counts).
func TestLocalities(t *testing.T) {
	tests := map[string]struct {
		a, b   config.Locality
		panic  float64
		factor uint32
		want   int // percent at the first
	}{
		"all healthy":                    {a: zone(1, 80, 0, 2, 0), b: zone(2, 20, 0, 2, 0), want: 80},
		"made up for":                    {a: zone(1, 80, 0, 3, 1), b: zone(2, 20, 0, 2, 0), want: 80},
		"half sick":                      {a: zone(1, 80, 0, 2, 2), b: zone(2, 20, 0, 2, 0), want: 74}, // 80 × 0.7 = 56 of 76
		"no overprovisioning":            {a: zone(1, 80, 0, 2, 2), b: zone(2, 20, 0, 2, 0), factor: 100, want: 67},
		"all sick":                       {a: zone(1, 80, 0, 0, 2), b: zone(2, 20, 0, 2, 0), want: 0},
		"panic":                          {a: zone(1, 80, 0, 0, 3), b: zone(2, 20, 0, 1, 0), panic: 50, want: 75}, // every endpoint alike
		"no weight":                      {a: zone(1, 80, 0, 2, 0), b: zone(2, 0, 0, 2, 0), want: 100},
		"none has a weight":              {a: zone(1, 0, 0, 3, 0), b: zone(2, 0, 0, 1, 0), want: 75},
		"only those without are healthy": {a: zone(1, 80, 0, 0, 1), b: zone(2, 0, 0, 2, 0), want: 0},
		"another priority":               {a: zone(1, 1, 0, 1, 1), b: zone(2, 99, 1, 1, 0), want: 70},
	}
	for name, tt := range tests {
		def := &config.Cluster{Name: "c", Policy: config.Random, LocalityWeighted: true, Panic: tt.panic,
			Endpoints: &config.Assignment{Overprovisioning: tt.factor, Localities: []config.Locality{tt.a, tt.b}}}
		_, c, ch := newSet(t, def)
		first, n := 0, 20_000
		for range n {
			if ch.Choose(c, Need{}).Address.AddrPort.Addr().As4()[2] == 1 {
				first++
			}
		}
		if got := 100 * float64(first) / float64(n); got < float64(tt.want)-2 || got > float64(tt.want)+2 {
			t.Errorf("%s: %.1f %% went to the first locality, want %d", name, got, tt.want)
		}
	}
}

// TestSubsetsHaveLocalities: within a subset the weights of localities count, scaled by how many of a locality's endpoints are in it where that is asked for; nothing is
// allocated once a route is known.
func TestSubsetsHaveLocalities(t *testing.T) {
	labelled := func(address, stage string) *config.Endpoint {
		return &config.Endpoint{Address: netip.MustParseAddrPort(address), Weight: 1, Labels: map[string]string{"stage": stage}}
	}
	for scale, want := range map[bool]float64{false: 0.5, true: 1.0 / 3} {
		def := &config.Cluster{Name: "c", Policy: config.RoundRobin, LocalityWeighted: true, Subsets: &config.Subsets{Fallback: config.FallbackNone, LocalityAware: true, ScaleWeights: scale,
			Selectors: []config.SubsetSelector{{Keys: []string{"stage"}}}}, Endpoints: &config.Assignment{Localities: []config.Locality{
			{Zone: "a", Weight: 1, Endpoints: []*config.Endpoint{labelled("10.0.0.1:1", `"x"`), labelled("10.0.0.2:1", `"y"`)}},
			{Zone: "b", Weight: 1, Endpoints: []*config.Endpoint{labelled("10.0.0.3:1", `"x"`)}},
		}}}
		_, c, ch := newSet(t, def)
		need := Need{Match: config.NewSubsetMatch(map[string]string{"stage": `"x"`})}
		n := map[string]int{}
		for range 6000 {
			n[ch.Choose(c, need).Address.String()]++
		}
		if got := float64(n["10.0.0.1:1"]) / 6000; len(n) != 2 || math.Abs(got-want) > 0.03 {
			t.Errorf("scaled %v: %v, want a share of %.2f at the first", scale, n, want)
		}
		if allocs := testing.AllocsPerRun(100, func() { ch.Choose(c, need) }); allocs > 0 {
			t.Errorf("choosing within a subset allocates %v times", allocs)
		}
		if h := ch.Choose(c, Need{Match: config.NewSubsetMatch(map[string]string{"stage": `"z"`})}); h != nil {
			t.Errorf("%s is in no subset", h.Address)
		}
	}
}

// TestZonesFollowTheProxies: how much stays in the zone depends on where the proxies are, and changes with that.
func TestZonesFollowTheProxies(t *testing.T) {
	zones := func(n ...int) *config.Assignment {
		a := &config.Assignment{}
		for i, count := range n {
			l := zone(i+1, 0, 0, count, 0)
			l.Zone = string(rune('a' + i))
			a.Localities = append(a.Localities, l)
		}
		return a
	}
	s := NewSet(nil, slog.New(slog.DiscardHandler))
	s.Home = Home{Cluster: "self", Zone: "a"}
	app := &config.Cluster{Name: "app", Zones: &config.Zones{Percent: 100, Least: 4}, Panic: 50, Endpoints: zones(2, 2)}
	ch := NewChooser(rand.New(rand.NewPCG(1, 2)).Uint64)
	for _, tt := range []struct {
		self *config.Assignment
		want float64
	}{{zones(1, 1), 1}, {zones(3, 1), 2.0 / 3}, {zones(1, 3), 1}, {zones(0, 2), .5}, {zones(), .5}, {zones(4, 0), .5}} {
		if err := s.Update(map[string]*config.Cluster{"app": app, "self": {Name: "self", Version: "1", Endpoints: tt.self}}); err != nil {
			t.Fatal(err)
		}
		n := 0
		for range 3000 {
			if h := ch.Choose(s.Cluster("app"), Need{}); h.in.Zone == "a" {
				n++
			}
		}
		if got := float64(n) / 3000; math.Abs(got-tt.want) > 0.04 {
			t.Errorf("proxies %v: %.2f of the requests stay, want %.2f", tt.self.Localities, got, tt.want)
		}
	}
}

// TestTheZoneIsFoundByAddress: a proxy that is not told where it runs is where the local cluster has one of its addresses.
func TestTheZoneIsFoundByAddress(t *testing.T) {
	s := NewSet(nil, slog.New(slog.DiscardHandler))
	s.Home = Home{Cluster: "self"}
	mine := zone(1, 0, 0, 2, 0)
	mine.Zone = "a"
	other := zone(2, 0, 0, 2, 0)
	other.Zone = "b"
	all := &config.Assignment{Localities: []config.Locality{mine, other}}
	app := &config.Cluster{Name: "app", Zones: &config.Zones{Percent: 100, Least: 4}, Panic: 50, Endpoints: all}
	ch := NewChooser(rand.New(rand.NewPCG(1, 2)).Uint64)
	for _, known := range []bool{false, true} {
		if s.Home.Addresses = []netip.Addr{netip.MustParseAddr("fd00::1")}; known {
			s.Home.Addresses = append(s.Home.Addresses, other.Endpoints[0].Address.Addr())
		}
		if err := s.Update(map[string]*config.Cluster{"app": app, "self": {Name: "self", Version: fmt.Sprint(known), Endpoints: all}}); err != nil {
			t.Fatal(err)
		}
		zones := map[string]int{}
		for range 400 {
			zones[ch.Choose(s.Cluster("app"), Need{}).in.Zone]++
		}
		if known && zones["b"] != 400 || !known && (zones["a"] < 150 || zones["b"] < 150) {
			t.Errorf("known %v: %v", known, zones)
		}
	}
}
