package route_test

import (
	"math/rand/v2"
	"regexp"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/http1"
	"github.com/heddle-mesh/heddle/data/proxy/route"
)

func request(method, host, path string, headers ...string) *route.Request {
	r := &route.Request{Method: []byte(method), Host: []byte(host), Path: []byte(path), Scheme: []byte("http")}
	for i := 0; i < len(headers); i += 2 {
		r.Fields = append(r.Fields, http1.Field{Name: []byte(headers[i]), Value: []byte(headers[i+1])})
	}
	return r
}

func TestHostOrder(t *testing.T) {
	host := func(name string, domains ...string) *config.VirtualHost {
		return &config.VirtualHost{Name: name, Domains: domains}
	}
	table := route.New(&config.RouteTable{Hosts: []*config.VirtualHost{
		host("exact", "a.example.com", "a.example.com:80"), host("short", "*.com"), host("long", "*.example.com"), host("prefix", "www.*"), host("any", "*"), host("dash", "*-x.example.com")}})
	for in, want := range map[string]string{"a.example.com": "exact", "a.example.com:80": "exact", "a.example.com:81": "any", "b.example.com": "long",
		"example.com": "short", ".com": "any", "www.org": "prefix", "other": "any", "y-x.example.com": "dash"} {
		if got := table.Host([]byte(in)); got.Name != want {
			t.Errorf("%s leads to %s, want %s", in, got.Name, want)
		}
	}
	ignoring := route.New(&config.RouteTable{IgnorePort: true, Hosts: []*config.VirtualHost{host("six", "[::1]"), host("a", "a")}})
	for in, want := range map[string]string{"[::1]:80": "six", "[::1]": "six", "a:1": "a"} {
		if got := ignoring.Host([]byte(in)); got == nil || got.Name != want {
			t.Errorf("%s leads to %v, want %s", in, got, want)
		}
	}
}

func TestMatches(t *testing.T) {
	exact := func(s string) *config.StringMatch { return &config.StringMatch{Value: s} }
	regex := func(s string) *regexp.Regexp { return regexp.MustCompile("^(?:" + s + ")$") }
	for name, tt := range map[string]struct {
		m    config.RouteMatch
		r    *route.Request
		want bool
	}{
		"prefix":            {config.RouteMatch{Value: "/a"}, request("GET", "x", "/ab?c"), true},
		"prefix no":         {config.RouteMatch{Value: "/b"}, request("GET", "x", "/ab"), false},
		"exact with query":  {config.RouteMatch{Path: config.PathExact, Value: "/a"}, request("GET", "x", "/a?b=/c"), true},
		"exact fold":        {config.RouteMatch{Path: config.PathExact, Value: "/A", IgnoreCase: true}, request("GET", "x", "/a"), true},
		"segment":           {config.RouteMatch{Path: config.PathSeparatedPrefix, Value: "/a"}, request("GET", "x", "/a/b"), true},
		"segment not":       {config.RouteMatch{Path: config.PathSeparatedPrefix, Value: "/a"}, request("GET", "x", "/ab"), false},
		"regex whole":       {config.RouteMatch{Path: config.PathRegex, Regex: regex("/[0-9]+")}, request("GET", "x", "/12?x"), true},
		"regex part":        {config.RouteMatch{Path: config.PathRegex, Regex: regex("/[0-9]+")}, request("GET", "x", "/12x"), false},
		"header":            {config.RouteMatch{Headers: []config.HeaderMatch{{Name: "a", String: exact("b")}}}, request("GET", "x", "/", "A", "b"), true},
		"header twice":      {config.RouteMatch{Headers: []config.HeaderMatch{{Name: "a", String: exact("b,c")}}}, request("GET", "x", "/", "A", "b", "a", "c"), true},
		"header absent":     {config.RouteMatch{Headers: []config.HeaderMatch{{Name: "a", String: exact("b")}}}, request("GET", "x", "/"), false},
		"inverted absent":   {config.RouteMatch{Headers: []config.HeaderMatch{{Name: "a", String: exact("b"), Invert: true}}}, request("GET", "x", "/"), true},
		"present":           {config.RouteMatch{Headers: []config.HeaderMatch{{Name: "a", Present: true, PresentValue: true}}}, request("GET", "x", "/", "a", ""), true},
		"present inverted":  {config.RouteMatch{Headers: []config.HeaderMatch{{Name: "a", Present: true, PresentValue: true, Invert: true}}}, request("GET", "x", "/", "a", ""), false},
		"method":            {config.RouteMatch{Headers: []config.HeaderMatch{{Name: ":method", String: exact("PUT")}}}, request("PUT", "x", "/"), true},
		"authority":         {config.RouteMatch{Headers: []config.HeaderMatch{{Name: ":authority", String: exact("x:80")}}}, request("PUT", "x:80", "/"), true},
		"range":             {config.RouteMatch{Headers: []config.HeaderMatch{{Name: "n", Range: true, From: 1, To: 5}}}, request("GET", "x", "/", "n", "5"), false},
		"query":             {config.RouteMatch{Query: []config.QueryMatch{{Name: "v", String: exact("3")}}}, request("GET", "x", "/?a&v=3"), true},
		"query first":       {config.RouteMatch{Query: []config.QueryMatch{{Name: "v", String: exact("3")}}}, request("GET", "x", "/?v=2&v=3"), false},
		"query in fragment": {config.RouteMatch{Query: []config.QueryMatch{{Name: "v", Present: true}}}, request("GET", "x", "/#?v=2"), false},
		"share of nothing":  {config.RouteMatch{HasShare: true}, request("GET", "x", "/"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := route.Matches(&tt.m, tt.r); got != tt.want {
				t.Errorf("matches=%v, want %v", got, tt.want)
			}
		})
	}
}

// TestWeightsHold is the promise of 90/10 over 50,000 requests within one point.
func TestWeightsHold(t *testing.T) {
	f := &config.Forward{Weighted: []config.WeightedCluster{{Name: "a", Weight: 90}, {Name: "none", Weight: 0}, {Name: "b", Weight: 10}}, TotalWeight: 100}
	r := rand.New(rand.NewPCG(1, 2))
	count := map[string]int{}
	for range 50_000 {
		count[route.Pick(f, r.Uint64()).Name]++
	}
	if share := float64(count["b"]) / 500; share < 9 || share > 11 || count["none"] != 0 {
		t.Errorf("b got %.2f %%, none got %d", share, count["none"])
	}
}

func TestRouteAllocatesNothing(t *testing.T) {
	table := route.New(&config.RouteTable{Hosts: []*config.VirtualHost{{Domains: []string{"x"}, Routes: []*config.Route{
		{Match: config.RouteMatch{Headers: []config.HeaderMatch{{Name: "a", String: &config.StringMatch{Value: "no"}}}}},
		{Match: config.RouteMatch{Value: "/"}}}}}})
	r := request("GET", "x", "/a?b", "a", "b")
	if n := testing.AllocsPerRun(100, func() {
		if _, c := table.Route(r); c == nil {
			t.Fatal("no route")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
