package resident

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// A process is at rest when it has allocated less than calm bytes in each of the last restful seconds.
	calm    = 1 << 20
	restful = 3
	// worth is how many bytes must have been allocated since the last time, besides half of what is in use.
	worth = 4 << 20
	// pause is how many seconds pass between two times at least.
	pause = 10
)

// keeper decides when memory is given back, once a second.
type keeper struct {
	allocated uint64 // bytes so far, when it last looked
	given     uint64 // bytes so far, when it last gave back
	rested    int    // seconds
	since     int    // seconds since it last gave back
}

// due says whether memory should be given back now.
func (k *keeper) due(allocated, live uint64) bool {
	if k.rested++; allocated-k.allocated >= calm {
		k.rested = 0
	}
	k.allocated = allocated
	k.since++
	started := k.given == 0 // the start is much, whatever it has allocated
	if k.rested < restful || !started && (k.since < pause || allocated-k.given < worth+live/2) {
		return false
	}
	k.given, k.since = allocated, 0
	return true
}

// Keep gives memory back whenever the process has come to rest after it has allocated much, until the context ends. Until it does so for the first time garbage is collected
// when the heap has grown by percent (see runtime/debug.SetGCPercent; 0 leaves it as it is): what a start leaves between what stays is never moved together.
func Keep(ctx context.Context, percent int) {
	var k keeper
	if percent > 0 {
		percent = debug.SetGCPercent(percent)
	}
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if metrics.Read(sample); k.due(sample[0].Value.Uint64(), sample[1].Value.Uint64()) {
				if percent > 0 {
					debug.SetGCPercent(percent)
					percent = 0
				}
				Now()
			}
		}
	}
}

// Now gives memory back at once: for the end of a start that used much which nothing afterwards needs.
func Now() {
	giveBack()
	_ = unmapProgram() // where it cannot be read what is mapped, it stays
}

// giveBack collects more than once, because one collection does half of it: what pools hold goes with the second, and each halves the stacks that are too large for what they hold.
func giveBack() {
	runtime.GC()
	runtime.GC()
	debug.FreeOSMemory()
}
