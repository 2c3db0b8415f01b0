package authz_test

import (
	"net/netip"
	"testing"

	"github.com/heddle-mesh/heddle/authz"
	"github.com/heddle-mesh/heddle/identity"
)

func id(s string) identity.ID {
	if s == "" {
		return identity.ID{}
	}
	v, err := identity.ParseID(s)
	if err != nil {
		panic(err)
	}
	return v
}

func m(s ...string) (list []authz.Match) {
	for _, v := range s {
		list = append(list, authz.ParseMatch(v))
	}
	return list
}

const web = "spiffe://cluster.local/ns/shop/sa/web"

func TestDecide(t *testing.T) {
	rule := func(s authz.Source, o authz.Operation) []authz.Rule {
		return []authz.Rule{{From: []authz.Source{s}, To: []authz.Operation{o}}}
	}
	allow := func(r []authz.Rule) authz.Policy { return authz.Policy{Namespace: "shop", Name: "a", Rules: r} }
	deny := func(r []authz.Rule) authz.Policy {
		return authz.Policy{Namespace: "shop", Name: "d", Action: authz.Deny, Rules: r}
	}
	get := authz.Request{Peer: id(web), SourceIP: netip.MustParseAddr("10.0.0.7"), Port: 8080, Host: "Cart:8080", Method: "GET", Path: "/items/1"}
	tcp := authz.Request{Peer: id(web), SourceIP: netip.MustParseAddr("10.0.0.7"), Port: 7000, TCP: true}
	anonymous := get
	anonymous.Peer = identity.ID{}
	tests := map[string]struct {
		policies []authz.Policy
		request  authz.Request
		want     bool
		reason   authz.Reason
	}{
		"no policy":                         {nil, get, true, authz.NoPolicy},
		"allow nothing":                     {[]authz.Policy{allow(nil)}, get, false, authz.NoneMatch},
		"deny nothing":                      {[]authz.Policy{deny(nil)}, get, true, authz.NoPolicy},
		"allow everything":                  {[]authz.Policy{allow([]authz.Rule{{}})}, get, true, authz.Allowed},
		"principal":                         {[]authz.Policy{allow(rule(authz.Source{Principals: m("cluster.local/ns/shop/sa/web")}, authz.Operation{}))}, get, true, authz.Allowed},
		"principal prefix":                  {[]authz.Policy{allow(rule(authz.Source{Principals: m("cluster.local/ns/shop/*")}, authz.Operation{}))}, get, true, authz.Allowed},
		"principal suffix":                  {[]authz.Policy{allow(rule(authz.Source{Principals: m("*/sa/web")}, authz.Operation{}))}, get, true, authz.Allowed},
		"any principal wants mTLS":          {[]authz.Policy{allow(rule(authz.Source{Principals: m("*")}, authz.Operation{}))}, anonymous, false, authz.NoneMatch},
		"not a principal without mTLS":      {[]authz.Policy{allow(rule(authz.Source{NotPrincipals: m("*")}, authz.Operation{}))}, anonymous, true, authz.Allowed},
		"namespace":                         {[]authz.Policy{deny(rule(authz.Source{Namespaces: m("shop")}, authz.Operation{}))}, get, false, authz.Denied},
		"deny wins":                         {[]authz.Policy{allow([]authz.Rule{{}}), deny(rule(authz.Source{}, authz.Operation{Methods: m("GET")}))}, get, false, authz.Denied},
		"path prefix":                       {[]authz.Policy{allow(rule(authz.Source{}, authz.Operation{Paths: m("/items/*")}))}, get, true, authz.Allowed},
		"not path":                          {[]authz.Policy{allow(rule(authz.Source{}, authz.Operation{NotPaths: m("/items/*")}))}, get, false, authz.NoneMatch},
		"host in any case":                  {[]authz.Policy{allow(rule(authz.Source{}, authz.Operation{Hosts: m("cart:*")}))}, get, true, authz.Allowed},
		"ip block":                          {[]authz.Policy{allow(rule(authz.Source{IPBlocks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}, authz.Operation{}))}, get, true, authz.Allowed},
		"not ip block":                      {[]authz.Policy{allow(rule(authz.Source{NotIPBlocks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}, authz.Operation{}))}, get, false, authz.NoneMatch},
		"port":                              {[]authz.Policy{allow(rule(authz.Source{}, authz.Operation{Ports: []uint16{7000}}))}, tcp, true, authz.Allowed},
		"http fields never allow tcp":       {[]authz.Policy{allow(rule(authz.Source{}, authz.Operation{Methods: m("GET")}))}, tcp, false, authz.NoneMatch},
		"http fields do not save from deny": {[]authz.Policy{deny(rule(authz.Source{}, authz.Operation{Ports: []uint16{7000}, Methods: m("GET")}))}, tcp, false, authz.Denied},
		"deny of another port":              {[]authz.Policy{deny(rule(authz.Source{}, authz.Operation{Ports: []uint16{1}, Methods: m("GET")}))}, tcp, true, authz.NoPolicy},
		"dry run decides nothing":           {[]authz.Policy{{Action: authz.Deny, DryRun: true, Rules: []authz.Rule{{}}}}, get, true, authz.NoPolicy},
		"a condition narrows allow":         {[]authz.Policy{allow([]authz.Rule{{When: []authz.Condition{{Key: "x"}}}})}, get, false, authz.NoneMatch},
		"a condition does not narrow deny":  {[]authz.Policy{deny([]authz.Rule{{When: []authz.Condition{{Key: "x"}}}})}, get, false, authz.Denied},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if d := authz.Decide(tt.policies, &tt.request); d.Allowed != tt.want || d.Reason != tt.reason {
				t.Errorf("decided %+v (%s), want allowed=%v, %s", d, d.Reason, tt.want, tt.reason)
			}
		})
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	p := []authz.Policy{{Rules: []authz.Rule{{From: []authz.Source{{Principals: m("*/sa/web")}}, To: []authz.Operation{{Hosts: m("a"), Paths: m("/x*")}}}}}}
	r := authz.Request{Peer: id(web), Host: "A", Path: "/xy", Method: "GET"}
	if n := testing.AllocsPerRun(100, func() { authz.Decide(p, &r) }); n != 0 {
		t.Errorf("%v allocations a decision, want 0", n)
	}
}
