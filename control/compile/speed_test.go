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
