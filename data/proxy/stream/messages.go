package stream

import (
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// tellEvery is how often the messages of a stream that goes on are told; Istio's default for streams (tcp_reporting_duration).
const tellEvery = 5 * time.Second

// messages counts the messages of a body of gRPC (gRPC over HTTP/2, Length-Prefixed-Message), whatever pieces it comes in.
type messages struct {
	count uint64
	skip  uint32 // bytes of the message that are still to come
	size  uint32 // as far as it is known
	head  uint8  // bytes of the prefix that have come
}

// prefix is a flag and four bytes of length.
const prefix = 5

func (m *messages) feed(p []byte) {
	for len(p) > 0 {
		if m.skip > 0 {
			n := min(int64(m.skip), int64(len(p)))
			m.skip, p = m.skip-uint32(n), p[n:]
			continue
		}
		if m.head > 0 {
			m.size = m.size<<8 | uint32(p[0])
		}
		if m.head, p = m.head+1, p[1:]; m.head == prefix {
			m.count++
			m.skip, m.size, m.head = m.size, 0, 0
		}
	}
}

// talk is what both sides of an exchange of gRPC have said, and how much of it was told.
type talk struct {
	looked, on bool
	in, out    messages
	told       [2]uint64
	at         loop.Time // when
}

// counts says whether messages are counted: somebody is told, and the request is gRPC, not gRPC-Web.
func (x *Exchange) counts() bool {
	if t := &x.talk; !t.looked {
		t.looked, t.at = true, x.started
		t.on = x.m.reporter != nil && x.isGRPC()
	}
	return x.talk.on
}

// asked and replied count messages of the request and of the response.
func (x *Exchange) asked(p []byte) {
	if x.counts() {
		x.talk.in.feed(p)
		x.tell()
	}
}

func (x *Exchange) replied(p []byte) {
	if x.counts() {
		x.talk.out.feed(p)
		x.tell()
	}
}

func (x *Exchange) tell() {
	if now := x.w.Loop.Now(); now.Sub(x.talk.at) >= tellEvery {
		x.talk.at = now
		x.m.reporter.Talking(x)
	}
}

// Messages are the numbers of gRPC messages in the request and in the response since the last call.
func (x *Exchange) Messages() (request, response uint64) {
	t := &x.talk
	request, response = t.in.count-t.told[0], t.out.count-t.told[1]
	t.told = [2]uint64{t.in.count, t.out.count}
	return request, response
}
