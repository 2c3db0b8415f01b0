package compile

import (
	"fmt"
	"sync"
	"testing"

	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

// Streams ask while snapshots are published; in the end everybody who asks again has what a new Memo compiles.
func TestStreamsAskWhileSnapshotsAreMade(t *testing.T) {
	snap := city(60)
	m := New()
	store, _ := m.Publish(snap)
	proxies := append(citizens(6, true), citizens(3, false)...)
	var mu sync.Mutex
	latest := store
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, p := range proxies {
		wg.Go(func() {
			held := map[xds.Name]*xds.Resource{}
			for {
				select {
				case <-stop:
					return
				default:
				}
				mu.Lock()
				s := latest
				mu.Unlock()
				for _, url := range someTypes {
					for n := range s.Names(p, url) {
						name := xds.Name{TypeURL: url, Name: n}
						held[name], _ = s.Resource(p, name)
					}
				}
			}
		})
	}
	for i := range 40 {
		id := mesh.ServiceID{Namespace: "n0", Host: "s0010.n0.svc.cluster.local"}
		next := *snap
		next.Revision++
		next.MeshRoutes = next.MeshRoutes.With(id.Host, []*mesh.Route{weighted(id, uint32(1+i))})
		if i%3 == 0 {
			gone := mesh.ServiceID{Namespace: "n3", Host: mesh.Host(fmt.Sprintf("s%04d.n3.svc.cluster.local", 3+10*(i/10)))}
			next.Services, next.Hosts = next.Services.Without(gone), next.Hosts.Without(gone.Host)
		}
		snap = &next
		s, changes := m.Publish(snap)
		for range changes {
		}
		mu.Lock()
		latest = s
		mu.Unlock()
	}
	close(stop)
	wg.Wait()
	fresh, _ := New().Publish(snap)
	for _, p := range proxies {
		got, _ := everythingOf(latest, p)
		want, _ := everythingOf(fresh, p)
		if len(got) != len(want) {
			t.Fatalf("%s has %d resources, want %d", p.ID, len(got), len(want))
		}
		for i := range got {
			if got[i].Name != want[i].Name || got[i].Version != want[i].Version {
				t.Errorf("%s: %s differs from scratch", p.ID, got[i].Name)
			}
		}
	}
}
