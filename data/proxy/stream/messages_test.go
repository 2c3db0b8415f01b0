package stream

import (
	"encoding/binary"
	"testing"
)

// TestMessagesInPieces: messages are counted, in whatever pieces they come.
func TestMessagesInPieces(t *testing.T) {
	var body []byte
	sizes := []int{0, 1, 5, 300, 0, 70_000}
	for _, n := range sizes {
		body = append(body, 0)
		body = binary.BigEndian.AppendUint32(body, uint32(n))
		body = append(body, make([]byte, n)...)
	}
	for _, piece := range []int{1, 2, 3, 4, 5, 6, 7, 299, 4096, len(body)} {
		var m messages
		for rest := body; len(rest) > 0; {
			n := min(piece, len(rest))
			m.feed(rest[:n])
			rest = rest[n:]
		}
		if m.count != uint64(len(sizes)) || m.skip != 0 || m.head != 0 {
			t.Errorf("in pieces of %d bytes: %+v", piece, m)
		}
	}
	var m messages
	if m.feed([]byte{0, 0xff, 0xff, 0xff, 0xff}); m.count != 1 || m.skip != 1<<32-1 {
		t.Errorf("the largest message: %+v", m)
	}
}
