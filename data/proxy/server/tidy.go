package server

import (
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

const (
	// tidyAfter is how long the configuration must be at rest before memory is given back.
	tidyAfter = 3 * time.Second
	// tidyWorth is how many bytes must have been allocated since the last time.
	tidyWorth = 16 << 20
)

// tidy gives memory back to the system after the configuration has changed much: decoding leaves behind more than what is kept, and a proxy at rest allocates nothing, so that
// no collection would come for minutes. Small changes add up until they are worth one.
type tidy struct {
	last  atomic.Int64 // when the configuration changed, 0: nothing to do; in Unix nanoseconds
	spent uint64       // bytes allocated until the last time
}

// changed notes a change of the configuration. Safe from any goroutine.
func (t *tidy) changed() { t.last.Store(time.Now().UnixNano()) }

// look is called now and then by one goroutine. It says whether memory was given back.
func (t *tidy) look(now time.Time) bool {
	last := t.last.Load()
	if last == 0 || now.Sub(time.Unix(0, last)) < tidyAfter || !t.last.CompareAndSwap(last, 0) {
		return false
	}
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Uint64()-t.spent < tidyWorth {
		return false
	}
	t.spent = sample[0].Value.Uint64()
	debug.FreeOSMemory()
	return true
}
