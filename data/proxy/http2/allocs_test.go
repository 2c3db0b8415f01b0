//go:build !race

package http2

import (
	"syscall"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// link is a client and a server whose outputs are each other's inputs, without anything that allocates.
type link struct {
	client, server Conn
	slab           Slab
	up, down       pipe
	request        codec.Head
	response       codec.Head
	payload        []byte
	streams        int
	answered       int
	asked          bool
}

// pipe is one direction.
type pipe struct{ b, spare []byte }

// Write implements Output.
func (p *pipe) Write(b []byte) { p.b = append(p.b, b...) }

// Buffered implements Output.
func (p *pipe) Buffered() int { return len(p.b) }

func (p *pipe) take() []byte {
	b := p.b
	p.b, p.spare = p.spare[:0], b
	return b
}

// Request implements Owner.
func (l *link) Request(s *Stream, h *codec.Head, end bool) codec.Receiver {
	l.request, *h = *h, l.request // as an exchange does that keeps the head
	s.Head(&l.response, len(l.payload) == 0)
	if len(l.payload) > 0 {
		s.Body(l.payload, true)
	}
	return nobody{}
}

// Malformed implements Owner.
func (l *link) Malformed(*Stream, *codec.Head, *Error) { panic("malformed") }

// Closed implements Owner.
func (l *link) Closed(*Stream) { l.streams++ }

// Attend implements Owner.
func (l *link) Attend() { l.asked = true }

// nobody is a receiver that does not look.
type nobody struct{}

func (nobody) Head(*codec.Head, bool)     {}
func (nobody) Informational(*codec.Head)  {}
func (nobody) Body([]byte, bool)          {}
func (nobody) Trailers(*codec.Fields)     {}
func (nobody) Abort(codec.Reason, string) {}
func (nobody) Writable()                  {}

// answered counts responses.
type answers struct {
	nobody
	l *link
}

func (a *answers) Head(_ *codec.Head, end bool) {
	if end {
		a.l.answered++
	}
}

func (a *answers) Body(_ []byte, end bool) {
	if end {
		a.l.answered++
	}
}

func newLink(size int, names ...string) (*link, *codec.Head) {
	l := &link{payload: make([]byte, size)}
	limits := Edge()
	l.client.Init(Client, limits, &l.up, l, &l.slab)
	l.server.Init(Server, limits, &l.down, l, &l.slab)
	l.response.Reset()
	l.response.Status = 200
	for _, f := range [][2]string{{"content-type", "application/json"}, {"server", "istio-envoy"}, {"x-envoy-upstream-service-time", "1"}, {"vary", "accept-encoding"}} {
		l.response.AddRaw([]byte(f[0]), []byte(f[1]))
	}
	l.response.SetInt(codec.ContentLength, int64(size))
	l.request.Reset()
	h := &codec.Head{}
	h.Reset()
	h.SetMethod([]byte("GET"))
	h.SetScheme("http")
	h.SetAuthorityString("reviews.default.svc.cluster.local:9080")
	h.SetPath([]byte("/reviews/0"))
	for _, f := range [][2]string{{"user-agent", "curl/8.5.0"}, {"accept", "*/*"}, {"accept-encoding", "gzip, deflate"}, {"x-forwarded-proto", "http"}, {"x-envoy-attempt-count", "1"}} {
		h.AddRaw([]byte(f[0]), []byte(f[1]))
	}
	for _, n := range names {
		h.AddRaw([]byte(n), []byte("6c1e7c4e-3f0a-4e1d-9a3b-0123456789ab"))
	}
	l.flow()
	return l, h
}

// flow carries bytes until there are none.
func (l *link) flow() {
	for len(l.up.b)+len(l.down.b) > 0 || l.asked {
		if l.asked {
			l.asked = false
			l.client.Attend()
			l.server.Attend()
		}
		if _, err := l.server.Feed(l.up.take()); err != nil {
			panic(err)
		}
		if _, err := l.client.Feed(l.down.take()); err != nil {
			panic(err)
		}
	}
}

// round is count requests at once, with their answers.
func (l *link) round(r codec.Receiver, h *codec.Head, body []byte, count int) {
	for range count {
		s := l.client.Open(r)
		s.Head(h, body == nil)
		if body != nil {
			s.Body(body, true)
		}
	}
	l.flow()
}

func TestNoAllocs(t *testing.T) {
	for name, size := range map[string]int{"head": 0, "1 KiB": 1 << 10, "100 KiB": 100 << 10} {
		l, h := newLink(size)
		a := &answers{l: l}
		body := make([]byte, size)
		if size == 0 {
			body = nil
		}
		rounds := 0
		round := func() {
			l.round(a, h, body, 3)
			rounds += 3
		}
		for range 200 {
			round()
		}
		if n := testing.AllocsPerRun(200, round); n != 0 {
			t.Errorf("%s: %v allocations for three exchanges", name, n)
		}
		if l.answered != rounds || l.streams != 2*rounds || l.slab.InUse() != 0 || l.client.Active()+l.server.Active() != 0 {
			t.Errorf("%s: %d of %d answered, %d streams, %d bytes in use", name, l.answered, rounds, l.streams, l.slab.InUse())
		}
	}
}

// BenchmarkExchange is what a proxy's codecs do for a request: decode and encode its head, decode and encode the response's.
func BenchmarkExchange(b *testing.B) {
	run := func(size, count int, names ...string) func(*testing.B) {
		return func(b *testing.B) {
			l, h := newLink(size, names...)
			a := &answers{l: l}
			l.round(a, h, nil, count)
			b.ReportAllocs()
			before := userTime()
			for b.Loop() {
				l.round(a, h, nil, count)
			}
			b.ReportMetric(float64(userTime()-before)/float64(b.N*count), "user-ns/exchange")
		}
	}
	b.Run("head", run(0, 1))
	b.Run("head/32 at once", run(0, 32))
	b.Run("1KiB/32 at once", run(1<<10, 32))
	b.Run("1KiB and two ids/32 at once", run(1<<10, 32, "x-request-id", "traceparent"))
}

// userTime is this process's, in nanoseconds: the machine may be busy with something else.
func userTime() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano()
}
