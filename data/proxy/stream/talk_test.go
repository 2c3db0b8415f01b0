package stream_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// frame is one message of gRPC.
func frame(text string) string { return string([]byte{0, 0, 0, 0, byte(len(text))}) + text }

// TestMessagesOfGRPC: messages are told at the end of a call, and while a stream goes on after five seconds, each once; those of requests that are neither gRPC nor gRPC-Web are not counted.
func TestMessagesOfGRPC(t *testing.T) {
	answer := frame("one") + frame("")
	for name, tt := range map[string]struct {
		kind  string
		pause time.Duration
		want  [][2]uint64
	}{
		"a call":   {"application/grpc+proto", time.Second, [][2]uint64{{3, 2}}},
		"a stream": {"application/grpc", 5 * time.Second, [][2]uint64{{2, 0}, {1, 2}}},
		"not gRPC": {"text/plain", 5 * time.Second, [][2]uint64{{0, 0}}},
		"gRPC-Web": {"application/grpc-web", 5 * time.Second, [][2]uint64{{2, 0}, {1, 2}}},
	} {
		w := newWorld(t, 1, plain(), to("a", nil), cluster("a", "10.0.0.1:80"))
		w.serve("10.0.0.1:80", func(int, string) string {
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
		})
		c := w.connect()
		body := frame("first") + frame("second") + frame(strings.Repeat("t", 100))
		cut := len(frame("first")) + 7 // in the second message
		c.c.Write([]byte(fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", tt.kind, len(body), body[:3])))
		w.sim.Run(tt.pause)
		c.c.Write([]byte(body[3:cut]))
		w.sim.Run(time.Second)
		has(t, c.ask(body[cut:]), "200 OK")
		if w.last(); !slices.Equal(w.messages, tt.want) {
			t.Errorf("%s: %v, want %v", name, w.messages, tt.want)
		}
	}
}
