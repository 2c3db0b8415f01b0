package view

import (
	"sync/atomic"
	"testing"

	"github.com/heddle-mesh/heddle/mesh"
)

// What was encoded is there for the next endpoints, but only as long as the service has the port.
func TestPartsForgetPorts(t *testing.T) {
	var encoded atomic.Uint64
	list := []*mesh.Endpoint{{}, {}}
	encode := func() Encode {
		return func(b []byte, _ *mesh.Endpoint, _ mesh.Port) []byte { return append(b, 'e') }
	}
	old, now := mesh.Port{Name: "http", Number: 80, TargetPort: 8080}, mesh.Port{Name: "http", Number: 80, TargetPort: 9090}
	p := (*Parts)(nil).next(list, nil, &encoded)
	p.On(old, encode)
	for range 3 { // nobody asks in between
		p = p.next(list, []mesh.Port{old}, &encoded)
	}
	if p.On(old, encode); encoded.Load() != 2 {
		t.Errorf("%d endpoints encoded, want each of the two once", encoded.Load())
	}
	if p = p.next(list, []mesh.Port{now}, &encoded); len(p.old) != 0 {
		t.Errorf("%d ports are kept that the service does not have", len(p.old))
	}
}
