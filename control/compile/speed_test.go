package compile

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/mesh"
)

// used is the processor time of the process so far, which a loaded machine stretches less than the clock.
func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOneProxy compiles everything for one proxy of a mesh that nobody has asked anything of yet, and then for a second one that is like it. index is what the
// snapshot takes before anybody asks.
func BenchmarkOneProxy(b *testing.B) {
	for _, envoy := range []bool{true, false} {
		b.Run(fmt.Sprint("envoy=", envoy), func(b *testing.B) {
			snap := city(1000)
			var index, alone, like time.Duration
			for b.Loop() {
				m := New()
				runtime.GC()
				t := used()
				store, _ := m.Publish(snap)
				index, t = index+used()-t, used()
				held, _ := everythingOf(store, citizen(envoy))
				alone, t = alone+used()-t, used()
				again, _ := everythingOf(store, citizen(envoy))
				like += used() - t
				runtime.KeepAlive(held)
				runtime.KeepAlive(again)
				for m.Stats().Variants > 0 { // what it costs to forget all that is not what is measured
					runtime.GC()
					runtime.Gosched()
				}
			}
			ms := func(d time.Duration) float64 { return float64(d) / float64(b.N) / float64(time.Millisecond) }
			b.ReportMetric(ms(index), "index-cpu-ms")
			b.ReportMetric(ms(alone), "first-cpu-ms")
			b.ReportMetric(ms(like), "second-cpu-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func citizen(envoy bool) *mesh.Proxy {
	return somebody("n0", map[string]string{"app": "s0"}, mesh.Sidecar, envoy)
}

// BenchmarkThousandProxies is one changed VirtualService for 1,000 proxies that are alike, compiled and given to each; and what the cache keeps for one more proxy.
func BenchmarkThousandProxies(b *testing.B) {
	for _, envoy := range []bool{true, false} {
		b.Run(fmt.Sprint("envoy=", envoy), func(b *testing.B) {
			const many = 1000
			snap := city(1000)
			m := New()
			store, _ := m.Publish(snap)
			held, _ := everythingOf(store, citizen(envoy))
			proxies := make([]*mesh.Proxy, many)
			for i := range proxies {
				proxies[i] = citizen(envoy)
			}
			alone := heap()
			for _, p := range proxies {
				_, _ = everythingOf(store, p)
			}
			kept := float64(heap()-alone) / many
			id := mesh.ServiceID{Namespace: "n0", Host: "s0500.n0.svc.cluster.local"}
			n, start := uint32(0), used()
			for b.Loop() {
				n++
				next := *snap
				next.MeshRoutes = next.MeshRoutes.With(id.Host, []*mesh.Route{weighted(id, 1+n%90)})
				snap = &next
				store, changes := m.Publish(snap)
				for name := range changes {
					for _, p := range proxies {
						held[0], _ = store.Resource(p, name)
					}
				}
			}
			b.ReportMetric(float64((used()-start).Microseconds())/float64(b.N), "push-cpu-µs")
			b.ReportMetric(kept, "kept-B/proxy")
			b.ReportMetric(0, "ns/op")
			runtime.KeepAlive(held)
			runtime.KeepAlive(proxies)
		})
	}
}

// heap is what is in use when nothing can be let go any more.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
