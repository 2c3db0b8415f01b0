package compile

import (
	"bytes"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

func someProxies() []*mesh.Proxy {
	return []*mesh.Proxy{
		somebody("a", map[string]string{"app": "s0"}, mesh.Sidecar, true), somebody("b", map[string]string{"app": "s1"}, mesh.Sidecar, false),
		somebody("a", map[string]string{"gate": "g"}, mesh.Router, true),
	}
}

// bodies are the bytes of all that a proxy has, by name.
func bodies(store *Store, p *mesh.Proxy) map[xds.Name]*xds.Resource {
	held, _ := everythingOf(store, p)
	out := map[xds.Name]*xds.Resource{}
	for _, r := range held {
		out[r.Name] = r
	}
	return out
}

func sameBodies(a, b map[xds.Name]*xds.Resource) error {
	for n := range maps.Keys(a) {
		if b[n] == nil {
			return fmt.Errorf("%s is missing", n)
		}
		if !bytes.Equal(a[n].Body, b[n].Body) || !slices.Equal(a[n].Origins, b[n].Origins) || !slices.Equal(a[n].Claims, b[n].Claims) {
			return fmt.Errorf("%s differs", n)
		}
	}
	if len(a) != len(b) {
		return fmt.Errorf("%d resources, want %d", len(b), len(a))
	}
	return nil
}

// What is compiled depends on the snapshot and the proxy alone, not on who asked before or in which order. A change and its reverse give the same bytes, and between
// two snapshots exactly those resources are sent again (they have another version) that differ between two that are compiled from nothing.
func TestEditsAndTheirReverse(t *testing.T) {
	edits := 0
	rapid.Check(t, func(t *rapid.T) {
		m := New()
		snap := mesh.NewSnapshot(defaultSettings())
		proxies := someProxies()
		store, _ := m.Publish(snap)
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			before, beforeStore := snap, store
			var had []map[xds.Name]*xds.Resource
			for _, p := range proxies {
				had = append(had, bodies(beforeStore, p))
			}
			next := *snap
			next.Revision++
			for range rapid.IntRange(1, 3).Draw(t, "edits") {
				edits++
				edit(t, &next)
			}
			store, _ = m.Publish(&next)
			scratch, _ := New().Publish(&next)
			old, _ := New().Publish(before)
			for i := range proxies {
				p := proxies[len(proxies)-1-i] // the last one asks first
				got, want, was := bodies(store, p), bodies(scratch, p), bodies(old, p)
				if err := sameBodies(want, got); err != nil {
					t.Fatalf("after the edit, for %s: %v", p.ID, err)
				}
				mine := had[len(proxies)-1-i]
				for n, r := range got {
					sent, differs := mine[n] == nil || version(mine[n]) != version(r), was[n] == nil || version(was[n]) != version(want[n])
					if sent != differs {
						t.Fatalf("%s of %s: sent again %v, differs from before %v", n, p.ID, sent, differs)
					}
				}
			}
			back := *before
			back.Revision = next.Revision + 1
			store, _ = m.Publish(&back)
			for i, p := range proxies {
				if err := sameBodies(had[i], bodies(store, p)); err != nil {
					t.Fatalf("after the reverse, for %s: %v", p.ID, err)
				}
			}
			next.Revision = back.Revision + 1
			snap = &next
			store, _ = m.Publish(snap)
			runtime.KeepAlive(had)
		}
	})
	t.Log(edits, "edits")
}

// A changed VirtualService compiles one virtual host again; a proxy that takes whole tables has the host put into its table, with the others as they were.
func TestOneVirtualServiceCompilesOneHost(t *testing.T) {
	for _, envoy := range []bool{true, false} {
		t.Run(fmt.Sprint("envoy=", envoy), func(t *testing.T) {
			snap := city(100)
			m := New()
			p, like := citizen(envoy), citizen(envoy)
			store, _ := m.Publish(snap)
			held, _ := everythingOf(store, p)
			more, _ := everythingOf(store, like)
			id := mesh.ServiceID{Namespace: "n0", Host: "s0050.n0.svc.cluster.local"}
			next := *snap
			next.MeshRoutes = next.MeshRoutes.With(id.Host, []*mesh.Route{weighted(id, 50)})
			before := m.Stats().Computed
			store, changes := m.Publish(&next)
			var told []string
			for n := range changes {
				told = append(told, n.String())
				for _, p := range []*mesh.Proxy{p, like} {
					r, _ := store.Resource(p, n)
					held = append(held, r)
				}
			}
			compiled, want := m.Stats().Computed-before, uint64(1)
			if envoy {
				want = 2 // the host, and the table that it is put into
			}
			if compiled != want || len(told) != 1 {
				t.Errorf("%d compiled, want %d; told of %v", compiled, want, told)
			}
			runtime.KeepAlive(held)
			runtime.KeepAlive(more)
		})
	}
}
