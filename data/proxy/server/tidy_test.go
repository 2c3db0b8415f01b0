package server

import (
	"testing"
	"time"
)

var garbage []byte

// TestMemoryIsGivenBackAfterMuchChanged, and neither before the configuration is at rest nor for little.
func TestMemoryIsGivenBackAfterMuchChanged(t *testing.T) {
	var d tidy
	waste := func(mib int) {
		for range mib {
			garbage = make([]byte, 1<<20)
		}
		garbage = nil
	}
	rested := func() time.Time { return time.Now().Add(tidyAfter) }
	if waste(tidyWorth >> 20); d.look(rested()) {
		t.Error("nothing has changed")
	}
	d.changed()
	if d.look(time.Now()) {
		t.Error("it is not at rest")
	}
	if !d.look(rested()) {
		t.Error("nothing was given back after much was allocated")
	}
	if d.look(rested()) {
		t.Error("it was done twice")
	}
	d.changed()
	if d.look(rested()) {
		t.Error("a small change was worth it")
	}
	waste(tidyWorth >> 20)
	d.changed()
	if !d.look(rested()) {
		t.Error("small changes do not add up")
	}
}
