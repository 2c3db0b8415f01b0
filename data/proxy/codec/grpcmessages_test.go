package codec

import (
	"encoding/base64"
	"encoding/binary"
	"testing"
)

// TestMessagesOfTheWeb: the text form of gRPC-Web is counted as what it stands for, and trailers are no message.
func TestMessagesOfTheWeb(t *testing.T) {
	body := []byte{0, 0, 0, 0, 1, 'x', 0, 0, 0, 0, 0, grpcTrailers, 0, 0, 0, 2, 'a', ':'}
	for _, piece := range []int{1, 3, 4, 5, len(body)} {
		for _, text := range []bool{false, true} {
			m, rest := GRPCMessages{Text: text}, body
			if text {
				rest = []byte(base64.StdEncoding.EncodeToString(body[:6]) + base64.StdEncoding.EncodeToString(body[6:])) // two encodings
			}
			for len(rest) > 0 {
				n := min(piece, len(rest))
				m.Feed(rest[:n])
				rest = rest[n:]
			}
			if m.Count != 2 || m.skip != 0 || m.head != 0 {
				t.Errorf("text %v in pieces of %d bytes: %+v", text, piece, m)
			}
		}
	}
}

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
		var m GRPCMessages
		for rest := body; len(rest) > 0; {
			n := min(piece, len(rest))
			m.Feed(rest[:n])
			rest = rest[n:]
		}
		if m.Count != uint64(len(sizes)) || m.skip != 0 || m.head != 0 {
			t.Errorf("in pieces of %d bytes: %+v", piece, m)
		}
	}
	var m GRPCMessages
	if m.Feed([]byte{0, 0xff, 0xff, 0xff, 0xff}); m.Count != 1 || m.skip != 1<<32-1 {
		t.Errorf("the largest message: %+v", m)
	}
}
