package rbac

import (
	"net/netip"
	"regexp"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/http1"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/route"
)

// request answers header matches from a map.
type request map[string]string

func (r request) MatchesEach(m *config.HeaderMatch, _ bool) bool {
	v, ok := r[m.Name]
	return ok && (m.String == nil || v == m.String.Value) != m.Invert
}

func node(k config.RBACKind, edit func(*config.RBACNode), children ...config.RBACNode) config.RBACNode {
	n := config.RBACNode{Kind: k, Children: children}
	if edit != nil {
		edit(&n)
	}
	return n
}

func exactly(s string) func(*config.RBACNode) {
	return func(n *config.RBACNode) { n.Match = &config.StringMatch{Value: s} }
}

func TestNodes(t *testing.T) {
	peer := &loop.Peer{URIs: []string{"spiffe://cluster.local/ns/shop/sa/web"}}
	origin := &loop.Origin{
		Remote: loop.TCP(netip.MustParseAddrPort("10.0.0.7:5000")), Original: loop.TCP(netip.MustParseAddrPort("10.0.1.1:8080")), ServerName: "sni.example",
		TLS: &loop.TLSState{Peer: peer},
	}
	full := &Facts{Origin: origin, Remote: netip.MustParseAddr("203.0.113.1"), Destination: origin.Original.AddrPort, Header: request{":method": "GET"}, Path: []byte("/items/1")}
	bare := &Facts{Origin: &loop.Origin{Remote: origin.Remote}, Remote: netip.MustParseAddr("10.0.0.7"), Destination: origin.Original.AddrPort}
	method := func(n *config.RBACNode) {
		n.Header = &config.HeaderMatch{Name: ":method", String: &config.StringMatch{Value: "GET"}}
	}
	regex := func(n *config.RBACNode) {
		n.Match = &config.StringMatch{Kind: config.Regex, Regex: regexp.MustCompile(`^(?:spiffe://[^/]+/ns/shop/sa/[^/]+)$`)}
	}
	prefix := func(s string) func(*config.RBACNode) {
		return func(n *config.RBACNode) { n.Prefix = netip.MustParsePrefix(s) }
	}
	any, never := node(config.RBACAny, nil), node(config.RBACNever, nil)
	tests := map[string]struct {
		n          config.RBACNode
		full, bare bool
	}{
		"any":                  {any, true, true},
		"never":                {never, false, false},
		"metadata":             {node(config.RBACMetadata, nil), false, false},
		"and":                  {node(config.RBACAnd, nil, any, never), false, false},
		"and of none":          {node(config.RBACAnd, nil), true, true},
		"or":                   {node(config.RBACOr, nil, never, any), true, true},
		"or of none":           {node(config.RBACOr, nil), false, false},
		"not":                  {node(config.RBACNot, nil, never), true, true},
		"header":               {node(config.RBACHeader, method), true, false},
		"not header":           {node(config.RBACNot, nil, node(config.RBACHeader, method)), false, true},
		"path":                 {node(config.RBACPath, exactly("/items/1")), true, false},
		"other path":           {node(config.RBACPath, exactly("/items")), false, false},
		"destination ip":       {node(config.RBACDestinationIP, prefix("10.0.1.0/24")), true, true},
		"port":                 {node(config.RBACDestinationPort, func(n *config.RBACNode) { n.Port = 8080 }), true, true},
		"other port":           {node(config.RBACDestinationPort, func(n *config.RBACNode) { n.Port = 80 }), false, false},
		"port range":           {node(config.RBACPortRange, func(n *config.RBACNode) { n.Port, n.PortEnd = 8000, 8081 }), true, true},
		"port range ends":      {node(config.RBACPortRange, func(n *config.RBACNode) { n.Port, n.PortEnd = 8000, 8080 }), false, false},
		"server name":          {node(config.RBACServerName, exactly("sni.example")), true, false},
		"authenticated":        {node(config.RBACAuthenticated, nil), true, false},
		"authenticated as":     {node(config.RBACAuthenticated, exactly(peer.URIs[0])), true, false},
		"authenticated regex":  {node(config.RBACAuthenticated, regex), true, false},
		"authenticated other":  {node(config.RBACAuthenticated, exactly("spiffe://x")), false, false},
		"source ip":            {node(config.RBACSourceIP, prefix("10.0.0.0/24")), true, true},
		"remote ip":            {node(config.RBACRemoteIP, prefix("203.0.113.0/24")), true, false},
		"header without match": {node(config.RBACHeader, nil), false, false},
	}
	for name, tt := range tests {
		if matches(&tt.n, full, false) != tt.full || matches(&tt.n, bare, false) != tt.bare {
			t.Errorf("%s: %t %t, want %t %t", name, matches(&tt.n, full, false), matches(&tt.n, bare, false), tt.full, tt.bare)
		}
	}
}

func TestDecide(t *testing.T) {
	any, never := []config.RBACNode{{Kind: config.RBACAny}}, []config.RBACNode{{Kind: config.RBACNever}}
	policies := func(p []config.RBACNode) []config.RBACPolicy {
		return []config.RBACPolicy{{Name: "first", Permissions: never, Principals: any}, {Name: "second", Permissions: p, Principals: any}}
	}
	tests := []struct {
		rules config.RBACRules
		want  Verdict
	}{
		{config.RBACRules{}, Verdict{}},
		{config.RBACRules{Policies: policies(any)}, Verdict{Allowed: true, Policy: "second"}},
		{config.RBACRules{Policies: policies(never)}, Verdict{}},
		{config.RBACRules{Deny: true}, Verdict{Allowed: true}},
		{config.RBACRules{Deny: true, Policies: policies(any)}, Verdict{Policy: "second"}},
		{config.RBACRules{Deny: true, Policies: policies(never)}, Verdict{Allowed: true}},
		{config.RBACRules{Log: true, Policies: policies(any)}, Verdict{Allowed: true, Policy: "second"}},
		{config.RBACRules{Policies: []config.RBACPolicy{{Name: "empty"}}}, Verdict{}},
	}
	for i, tt := range tests {
		if got := Decide(&tt.rules, &Facts{Origin: &loop.Origin{}}); got != tt.want {
			t.Errorf("%d: %+v, want %+v", i, got, tt.want)
		}
	}
}

func TestConnection(t *testing.T) {
	any := []config.RBACNode{{Kind: config.RBACAny}}
	deny := &config.RBAC{Rules: &config.RBACRules{Deny: true, Policies: []config.RBACPolicy{{Name: "ns[a] p", Permissions: any, Principals: any}}}}
	allow := &config.RBAC{Rules: &config.RBACRules{}}
	o := &loop.Origin{}
	if v, _ := Connection(nil, o); !v.Allowed {
		t.Error("without rules a connection is allowed")
	}
	if v, d := Connection([]*config.RBAC{{}, deny, allow}, o); v.Allowed || d != "rbac_access_denied_matched_policy[ns[a]_p]" {
		t.Errorf("%+v %q", v, d)
	}
	if v, d := Connection([]*config.RBAC{allow}, o); v.Allowed || d != "rbac_access_denied_matched_policy[none]" {
		t.Errorf("%+v %q", v, d)
	}
}

// lines answers header matches from several values of one name.
type lines []string

func (l lines) MatchesEach(m *config.HeaderMatch, liberal bool) bool {
	r := &route.Request{}
	for _, v := range l {
		r.Fields = append(r.Fields, http1.Field{Name: []byte("X-Role"), Value: []byte(v)})
	}
	return route.HeaderEach(m, r, liberal)
}

// TestSeveralValues: no value of a header hides behind another of its name, neither from a rule that denies nor from one that allows (CVE-2026-26308).
func TestSeveralValues(t *testing.T) {
	is := func(v string, inverted bool) config.RBACNode {
		return node(config.RBACHeader, func(n *config.RBACNode) {
			n.Header = &config.HeaderMatch{Name: "x-role", String: &config.StringMatch{Value: v}, Invert: inverted}
		})
	}
	any := []config.RBACNode{node(config.RBACAny, nil)}
	for name, tt := range map[string]struct {
		deny bool
		n    config.RBACNode
		l    lines
		want bool // allowed
	}{
		"denied alone":            {true, is("admin", false), lines{"admin"}, false},
		"denied second":           {true, is("admin", false), lines{"user", "admin"}, false},
		"denied first":            {true, is("admin", false), lines{"admin", "user"}, false},
		"denied together":         {true, is("a,b", false), lines{"a", "b"}, false},
		"denied unless, mixed":    {true, is("user", true), lines{"user", "admin"}, false},
		"denied not, mixed":       {true, node(config.RBACNot, nil, is("user", false)), lines{"user", "admin"}, false},
		"denied not, alone":       {true, node(config.RBACNot, nil, is("user", false)), lines{"user"}, true},
		"allowed alone":           {false, is("user", false), lines{"user"}, true},
		"allowed mixed":           {false, is("user", false), lines{"user", "admin"}, false},
		"allowed unless, mixed":   {false, is("admin", true), lines{"user", "admin"}, false},
		"allowed not, mixed":      {false, node(config.RBACNot, nil, is("admin", false)), lines{"user", "admin"}, false},
		"allowed not, two others": {false, node(config.RBACNot, nil, is("admin", false)), lines{"user", "guest"}, true},
	} {
		rules := &config.RBACRules{Deny: tt.deny, Policies: []config.RBACPolicy{{Name: "p", Permissions: []config.RBACNode{tt.n}, Principals: any}}}
		if got := Decide(rules, &Facts{Header: tt.l}).Allowed; got != tt.want {
			t.Errorf("%s: allowed %t, want %t", name, got, tt.want)
		}
	}
}
