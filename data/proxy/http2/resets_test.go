//go:build !race

package http2

import (
	"testing"
	"unsafe"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// TestManyResets: what was on its way for streams that we have reset is no mistake, even when there were so many that not each is remembered.
func TestManyResets(t *testing.T) {
	l, h := newLink(0)
	var streams []*Stream
	l.server.owner = &resetter{link: l, streams: &streams}
	ends := 2 * keepResets
	for range ends {
		l.client.Open(nobody{}).Head(h, false)
		l.flow1()
	}
	if len(streams) != ends {
		t.Fatalf("%d streams", len(streams))
	}
	// The client has not heard of the resets, and goes on with each.
	for id := uint32(1); id < uint32(2*ends); id += 2 {
		if _, err := l.server.Feed(append(appendFrame(nil, frame{length: 3, kind: kindData, flags: flagEndStream, stream: id}), "abc"...)); err != nil {
			t.Fatalf("stream %d: %v", id, err)
		}
	}
	if c := l.server.Counters(); c.TxReset != uint64(ends) || c.Streams != uint64(ends) {
		t.Errorf("%+v", c)
	}
}

// resetter is a server that gives every request up.
type resetter struct {
	*link
	streams *[]*Stream
}

func (r *resetter) Request(s *Stream, _ *codec.Head, _ bool) codec.Receiver {
	*r.streams = append(*r.streams, s)
	s.Abort(codec.LocalReset, "")
	return nobody{}
}

// flow1 carries bytes to the server only.
func (l *link) flow1() {
	if _, err := l.server.Feed(l.up.take()); err != nil {
		panic(err)
	}
	l.client.streams = table{} // as if the answers had closed them
}

// TestOldMistakesAreForgotten: the share of premature ends counts, not their number in the life of a connection.
func TestOldMistakesAreForgotten(t *testing.T) {
	var f flood
	l := Defaults()
	for i := range 1 << 18 {
		if i%3 == 0 {
			f.blame(nil)
		} else {
			f.done()
		}
		if 2*f.premature > max(f.answered, l.PrematureResets) {
			t.Fatalf("a third is too much after %d streams", i)
		}
	}
	for i := 0; 2*f.premature <= max(f.answered, l.PrematureResets); i++ {
		if f.blame(nil); i > 1<<17 {
			t.Fatal("only resets are never too much")
		}
	}
}

// TestIdleSize keeps an eye on what a connection costs that does nothing.
func TestIdleSize(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 1200 {
		t.Errorf("a connection is %d bytes", n)
	}
	if n := unsafe.Sizeof(Stream{}); n > 400 {
		t.Errorf("a stream is %d bytes", n)
	}
}
