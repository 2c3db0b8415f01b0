package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/registry/vip"
	"github.com/heddle-mesh/heddle/mesh"
)

func entry(name, hosts, labels, more string) string {
	return fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: %s, namespace: shop, labels: {%s}}\n"+
		"spec: {hosts: [%s], location: MESH_EXTERNAL, resolution: DNS, ports: [{name: tcp, number: 9000, protocol: TCP}]%s}\n---\n", name, labels, hosts, more)
}

func entryRef(name string) mesh.Ref {
	return mesh.Ref{Group: api.GroupNetworking, Kind: "ServiceEntry", Namespace: "shop", Name: name}
}

// written puts the addresses of an entry's status where an API keeps them, and gives them.
func (r *rig) written(name string) string {
	r.t.Helper()
	ref := entryRef(name)
	e, ok := r.store.Get(ref)
	s := r.b.Status(ref)
	if !ok || s == nil || !s.Assigned {
		return "nothing is said"
	}
	text, list := "", []any{}
	for _, a := range s.Addresses {
		text += a.Host + " " + a.Value + "\n"
		list = append(list, map[string]any{"value": a.Value, "host": a.Host})
	}
	o := e.Object
	o.Status = map[string]any{"addresses": list}
	r.store.Put("test", o, e.Problems)
	return text
}

// The addresses that are given to an entry stand in its status, and what stands there is given: by another process without a record, and when istiod wrote it.
func TestAddressesOfEntries(t *testing.T) {
	const names = ", endpoints: [{address: x.example.com}]"
	r := newRig(t)
	r.put(entry("one", "a.example.com, b.example.com, '*.c.example.com'", "", names)).apply()
	first := r.written("one")
	if strings.Count(first, "example.com 240.240.") != 2 || strings.Count(first, "example.com 2001:2::") != 2 || strings.Contains(first, "*") {
		t.Fatalf("status has %s", first)
	}
	if changed, _ := r.apply(); changed {
		t.Error("what was written changes the mesh")
	}
	one, _ := r.store.Get(entryRef("one"))
	istios := one.Object
	istios.Status = map[string]any{"addresses": []any{map[string]any{"host": "a.example.com", "value": "240.240.0.1"}, map[string]any{"host": "a.example.com", "value": "2001:2::1"}}}
	r.store.Put("test", istios, nil)
	other, err := vip.Open("")
	if err != nil {
		t.Fatal(err)
	}
	r.opts.Addresses = other
	r.b = r.builder(memory(t))
	r.b.Apply([]api.Ref{istios.Ref()}, nil)
	if got, want := r.written("one"), "a.example.com 240.240.0.1\na.example.com 2001:2::1\nb.example.com 240.240."; !strings.HasPrefix(got, want) {
		t.Errorf("what istiod wrote is not kept: %s", got)
	}
	for _, step := range []struct{ name, put string }{
		{"it gives its own", entry("one", "a.example.com", "", ", addresses: [10.9.0.1]")},
		{"it wants none", entry("one", "a.example.com", `networking.istio.io/enable-autoallocate-ip: "false"`, "")},
		{"a Service has the host", entry("one", "a.shop.svc.cluster.local", "", "") + "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\nspec: {clusterIP: 10.1.0.9, ports: [{name: tcp, port: 9000}]}\n"},
	} {
		r.put(entry("one", "a.example.com", "", "")).apply()
		if got := r.written("one"); !strings.HasPrefix(got, "a.example.com 240.240.") {
			t.Errorf("before %q: status has %s", step.name, got)
		}
		_, told := r.put(step.put).apply()
		if got := r.written("one"); got != "" || !slices.Contains(told, entryRef("one")) {
			t.Errorf("%s: status has %s; told %v", step.name, got, told)
		}
	}
}
