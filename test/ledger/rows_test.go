package ledger

import (
	"reflect"
	"slices"
	"testing"
)

// TestRows: each form of field has its row, and no row is there twice.
func TestRows(t *testing.T) {
	rows := Rows()
	for _, want := range []Row{
		{"VirtualService", "http[].match[].headers{}.exact", ""},
		{"DestinationRule", "subsets[].trafficPolicy.portLevelSettings[].loadBalancer.simple", "RANDOM"},
		{"DestinationRule", "trafficPolicy.connectionPool.tcp.connectTimeout", ""},
		{"PeerAuthentication", "portLevelMtls{}.mode", "STRICT"},
		{"Gateway (Gateway API)", "listeners[].allowedRoutes.namespaces.selector.matchLabels{}", ""},
		{"HTTPRoute", "rules[].backendRefs[].filters[].requestMirror.backendRef.name", ""},
		{MeshConfig, "defaultConfig.gatewayTopology.proxyProtocol", ""},
		{MeshNetworks, "networks{}.gateways[].registryServiceName", ""},
		{Annotations, "sidecar.istio.io/inject", ""},
		{Labels, "istio.io/rev", ""},
	} {
		if !slices.Contains(rows, want) {
			t.Errorf("there is no row for %s of %s", want, want.Subject)
		}
	}
	if slices.Contains(rows, Row{"DestinationRule", "trafficPolicy.loadBalancer.simple", "UNSPECIFIED"}) {
		t.Error("what stands for nothing said has a row")
	}
	slices.SortFunc(rows, Compare)
	for i := 1; i < len(rows); i++ {
		if rows[i] == rows[i-1] {
			t.Errorf("%s of %s is there twice", rows[i], rows[i].Subject)
		}
	}
}

func TestStripAndAlter(t *testing.T) {
	document := func() map[string]any {
		return map[string]any{
			"http": []any{
				map[string]any{"match": []any{map[string]any{"headers": map[string]any{"x-a": map[string]any{"exact": "1"}, "x-b": map[string]any{"prefix": "2"}}}}},
				map[string]any{"mirror_percent": 5},
			},
			"mode": "STRICT", "hosts": []any{"a", "b"},
		}
	}
	all := []Row{{"K", "mode", "STRICT"}, {"K", "mode", "DISABLE"}}
	for _, tc := range []struct {
		row   Row
		strip func(map[string]any)
		alter func(map[string]any) // the first way; nil where there is none
	}{
		{Row{"K", "http[].match[].headers{}.exact", ""}, func(m map[string]any) { delete(at(m, "x-a"), "exact") }, func(m map[string]any) { at(m, "x-a")["exact"] = "1x" }},
		{Row{"K", "http[].mirrorPercent", ""}, func(m map[string]any) { delete(m["http"].([]any)[1].(map[string]any), "mirror_percent") },
			func(m map[string]any) { m["http"].([]any)[1].(map[string]any)["mirror_percent"] = 6 }},
		{Row{"K", "hosts[]", ""}, func(m map[string]any) { delete(m, "hosts") }, func(m map[string]any) { m["hosts"] = []any{"ax", "b"} }},
		{Row{"K", "mode", "STRICT"}, func(m map[string]any) { delete(m, "mode") }, func(m map[string]any) { m["mode"] = "DISABLE" }},
		{Row{"K", "mode", "DISABLE"}, func(map[string]any) {}, nil},
		{Row{"K", "http[].timeout", ""}, func(map[string]any) {}, nil},
	} {
		got, want := document(), document()
		if tc.row.Has(got) != (tc.alter != nil) {
			t.Errorf("%s: has it: %v", tc.row, tc.row.Has(got))
		}
		tc.row.Strip(got)
		if tc.strip(want); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: without it the document is %v, want %v", tc.row, got, want)
		}
		got, want = document(), document()
		if changed := tc.row.Alter(got, 0, all); changed != (tc.alter != nil) {
			t.Errorf("%s: changed: %v", tc.row, changed)
		}
		if tc.alter != nil {
			tc.alter(want)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: changed the document is %v, want %v", tc.row, got, want)
		}
	}
}

func at(m map[string]any, header string) map[string]any {
	match := m["http"].([]any)[0].(map[string]any)["match"].([]any)[0].(map[string]any)
	return match["headers"].(map[string]any)[header].(map[string]any)
}

// What says nothing but the row goes as a whole, and nothing else.
func TestStripWhole(t *testing.T) {
	document := map[string]any{
		"tags": map[string]any{"a": map[string]any{"operation": "REMOVE"}, "b": map[string]any{"operation": "REMOVE", "value": "x"}, "c": map[string]any{}},
		"list": []any{map[string]any{"operation": "REMOVE"}, map[string]any{"name": "y"}},
	}
	if !(Row{"K", "tags{}.operation", "REMOVE"}).StripWhole(document) || !(Row{"K", "list[].operation", "REMOVE"}).StripWhole(document) {
		t.Error("nothing was taken out")
	}
	want := map[string]any{
		"tags": map[string]any{"b": map[string]any{"operation": "REMOVE", "value": "x"}, "c": map[string]any{}},
		"list": []any{map[string]any{"name": "y"}},
	}
	if !reflect.DeepEqual(document, want) {
		t.Errorf("left is %v, want %v", document, want)
	}
	if (Row{"K", "tags{}.value", ""}).StripWhole(document) {
		t.Error("an object that says more was taken out")
	}
}
