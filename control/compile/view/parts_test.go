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
	p.On(old, Work{View: &View{}, Begin: encode, Before: 1})
	for range 3 { // nobody asks in between
		p = p.next(list, []mesh.Port{old}, &encoded)
	}
	if p.On(old, Work{View: &View{}, Begin: encode, Before: 1}); encoded.Load() != 2 {
		t.Errorf("%d endpoints encoded, want each of the two once", encoded.Load())
	}
	if p = p.next(list, []mesh.Port{now}, &encoded); len(p.old) != 0 {
		t.Errorf("%d ports are kept that the service does not have", len(p.old))
	}
}

// The first assignment of all endpoints is written around them, others are copies, and so is one that needs more room.
func TestEndpointsWithin(t *testing.T) {
	work := Work{View: &View{}, Begin: func() Encode {
		return func(b []byte, e *mesh.Endpoint, _ mesh.Port) []byte { return append(b, e.Node...) }
	}, Before: 2}
	e := work.All([]*mesh.Endpoint{{Node: "one"}, {Node: ""}, {Node: "two"}}, mesh.Port{})
	if got := e.Within([]byte("long"), nil); string(got) != "longonetwo" || &got[4] == &e.bytes[0] {
		t.Errorf("with more room than there is: %q", got)
	}
	first := e.Within([]byte("<"), []byte(">"))
	if string(first) != "<onetwo>" || &first[1] != &e.bytes[0] {
		t.Errorf("the first: %q, which has to be written around the endpoints", first)
	}
	if second := e.Within([]byte("(("), []byte("))")); string(second) != "((onetwo))" || string(first) != "<onetwo>" {
		t.Errorf("the second: %q, and then the first: %q", second, first)
	}
	if string(e.Of(0)) != "one" || len(e.Of(1)) != 0 || string(e.Between(1, 2)) != "two" || !e.Whole(0, 2) || e.Whole(0, 1) {
		t.Error("the endpoints themselves are not what they were")
	}
}
