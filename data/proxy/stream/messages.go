package stream

import (
	"bytes"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// tellEvery is how often the messages of a stream that goes on are told; Istio's default for streams (tcp_reporting_duration).
const tellEvery = 5 * time.Second

// talk is what both sides of an exchange of gRPC have said, and how much of it was told.
type talk struct {
	looked, on bool
	heard      bool // the response has begun
	other      bool // which is no gRPC
	in, out    codec.GRPCMessages
	told       [2]uint64
	at         loop.Time // when
}

// counts says whether messages are counted: somebody is told, and the request is gRPC or gRPC-Web. What a filter makes gRPC of is counted as that.
func (x *Exchange) counts() bool {
	if t := &x.talk; !t.looked {
		t.looked, t.at = true, x.started
		kind, _ := x.Request.Value(codec.ContentType)
		t.on = x.m.reporter != nil && (codec.IsGRPC(kind) || webType(kind))
		t.in.Text = bytes.HasPrefix(kind, []byte(webText))
	}
	return x.talk.on
}

// asked and replied count messages of the request and of the response.
func (x *Exchange) asked(p []byte) {
	if x.counts() {
		x.talk.in.Feed(p)
		x.tell()
	}
}

func (x *Exchange) replied(p []byte) {
	if x.counts() {
		if !x.talk.heard {
			x.talk.heard = true
			kind, _ := x.Response.Value(codec.ContentType)
			x.talk.out.Text = !x.web.On && bytes.HasPrefix(kind, []byte(webText))
			x.talk.other = !codec.IsGRPC(kind) && !webType(kind)
		}
		if x.talk.other {
			return
		}
		x.talk.out.Feed(p)
		x.tell()
	}
}

// recount counts the request from its beginning, when what waits of it has become another body.
func (x *Exchange) recount() {
	if x.talk.looked {
		x.talk.looked, x.talk.in = false, codec.GRPCMessages{}
		x.asked(x.kept)
	}
}

func (x *Exchange) tell() {
	if x.filtering {
		return // a filter may make another body of it yet
	}
	if now := x.w.Loop.Now(); now.Sub(x.talk.at) >= x.m.tellEvery {
		x.talk.at = now
		x.m.reporter.Talking(x)
	}
}

// Messages are the numbers of gRPC messages in the request and in the response since the last call.
func (x *Exchange) Messages() (request, response uint64) {
	t := &x.talk
	request, response = t.in.Count-t.told[0], t.out.Count-t.told[1]
	t.told = [2]uint64{t.in.Count, t.out.Count}
	return request, response
}
