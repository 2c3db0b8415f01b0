package report

import (
	"testing"

	"github.com/heddle-mesh/heddle/telemetry/tap"
)

// TestEventsOutliveTheirPassages: the worker writes over a passage while its event is still being told.
func TestEventsOutliveTheirPassages(t *testing.T) {
	p := passage{grpc: 14, path: []byte("/a"), id: []byte("one"), acts: nil}
	e := p.event()
	p.grpc = 0
	copy(p.path, "/b")
	copy(p.id, "two")
	if e.GRPC == nil || *e.GRPC != 14 || e.Path != "/a" || e.ID != "one" || !e.Failed() {
		t.Errorf("the event has changed with the passage: %+v", e)
	}
}

// TestRingsKeepTheLatest, and give each passage once.
func TestRingsKeepTheLatest(t *testing.T) {
	tp := &Tap{recent: make([]recent, 1)}
	r := &tp.recent[0]
	r.all.most, r.failed.most = 3, 2
	for i := range 5 {
		*r.all.slot() = passage{id: []byte{byte('a' + i)}, grpc: -1}
	}
	*r.failed.slot() = passage{id: []byte("f"), grpc: -1}
	seen := map[string]int{}
	for _, e := range tp.recentEvents(&tap.Selector{}) {
		seen[e.ID]++
	}
	if len(seen) != 4 || seen["c"] != 1 || seen["d"] != 1 || seen["e"] != 1 || seen["f"] != 1 {
		t.Errorf("kept %v, want c, d, e and f", seen)
	}
}
