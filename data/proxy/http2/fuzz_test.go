package http2

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/http1"
)

// subject is a Conn under fuzzing, with a user that does what the input's bytes say.
type subject struct {
	t     *testing.T
	conn  Conn
	slab  Slab
	out   bytes.Buffer
	asked bool
	live  map[*Stream]*hearer
	acts  []byte // what the user does, one after another
}

// hearer is the receiver of one stream. It checks the order of the calls.
type hearer struct {
	f                          *subject
	s                          *Stream
	head, ended, over, pausing bool
	length, got                int64
}

// Write implements Output.
func (f *subject) Write(p []byte) { f.out.Write(p) }

// Buffered implements Output.
func (f *subject) Buffered() int { return 0 }

// Attend implements Owner.
func (f *subject) Attend() { f.asked = true }

// Closed implements Owner.
func (f *subject) Closed(s *Stream) {
	if f.live[s] == nil {
		f.t.Fatal("a stream was closed that was not open")
	}
	delete(f.live, s)
}

// Request implements Owner.
func (f *subject) Request(s *Stream, h *codec.Head, end bool) codec.Receiver {
	f.forwardable(h)
	x := &hearer{f: f, s: s, head: true, ended: end, length: h.Length}
	f.live[s] = x
	f.act(x)
	return x
}

// Malformed implements Owner.
func (f *subject) Malformed(s *Stream, _ *codec.Head, err *Error) {
	x := &hearer{f: f, s: s, over: true}
	f.live[s] = x
	if f.next()%2 == 0 {
		s.Head(statusHead(err.Status), true)
	}
}

// forwardable fails when a request could not be written to HTTP/1.1 as what it is.
func (f *subject) forwardable(h *codec.Head) {
	if len(h.Method()) == 0 || bytes.ContainsAny(h.Method(), " \r\n\x00") || bytes.ContainsAny(h.Path(), " \r\n\x00") || bytes.ContainsAny(h.Authority(), " \r\n\x00/@") {
		f.t.Fatalf("%q %q %q was let through", h.Method(), h.Path(), h.Authority())
	}
	if h.Kind != codec.CONNECT && (len(h.Path()) == 0 || h.Path()[0] != '/' && string(h.Path()) != "*") {
		f.t.Fatalf("path %q was let through", h.Path())
	}
	f.fieldsForwardable(&h.Fields, h.Upgrade)
	f.downgrades(h)
}

// downgrades writes the request to HTTP/1.1 and reads it again: it must be one request, and the same.
func (f *subject) downgrades(h *codec.Head) {
	in := &reread{}
	in.p.Init(http1.Request, http1.Limits{}, in)
	wire := http1.AppendRequest(nil, h, http1.RequestFraming(h, false))
	n, err := in.p.Feed(wire)
	if errors.Is(in.err, http1.ErrMethod) || errors.Is(in.err, http1.ErrNominated) {
		return // HTTP/1 is stricter than HTTP/2 about methods
	}
	if err != nil || in.err != nil || n != len(wire) || in.heads != 1 {
		f.t.Fatalf("as HTTP/1.1 it is %d requests of %d bytes, %v %v: %q", in.heads, n, err, in.err, wire)
	}
	g := &in.head
	if !bytes.Equal(g.Method(), h.Method()) || !bytes.Equal(g.Path(), h.Path()) || !bytes.Equal(g.Authority(), h.Authority()) || listed(&g.Fields) != listed(&h.Fields) || g.Upgrade != h.Upgrade {
		f.t.Fatalf("%s became %s: %q", described(h, false), described(g, false), wire)
	}
}

// reread is a server of HTTP/1.1.
type reread struct {
	p     http1.Parser
	head  codec.Head
	heads int
	err   error
}

func (r *reread) Head(h *http1.Head) {
	r.heads++
	r.err = h.Request(&r.head)
}
func (r *reread) Body(p []byte) int { return len(p) }
func (r *reread) End([]http1.Field) {}

func (f *subject) fieldsForwardable(fields *codec.Fields, upgrade bool) {
	for i := range fields.Slots() {
		name, value, ok := fields.At(i)
		if !ok {
			continue
		}
		if len(name) == 0 || bytes.ContainsAny(name, ": \r\n\x00") || !bytes.Equal(name, bytes.ToLower(name)) || bytes.ContainsAny(value, "\r\n\x00") {
			f.t.Fatalf("%q: %q was let through", name, value)
		}
		switch string(name) {
		case "transfer-encoding", "host", "keep-alive", "proxy-connection":
			f.t.Fatalf("%s was let through", name)
		case "connection", "upgrade":
			if !upgrade {
				f.t.Fatalf("%s was let through", name)
			}
		}
	}
	if fields.Count(codec.ContentLength) > 1 {
		f.t.Fatal("two lengths were let through")
	}
}

func (f *subject) next() byte {
	if len(f.acts) == 0 {
		return 0
	}
	b := f.acts[0]
	f.acts = f.acts[1:]
	return b
}

// act lets the user do something.
func (f *subject) act(x *hearer) {
	if x.over {
		return
	}
	switch b := f.next(); b % 8 {
	case 1:
		x.s.Head(statusHead(200), b&8 != 0)
	case 2:
		x.s.Body(make([]byte, int(b)*10), b&8 != 0)
	case 3:
		x.pausing = true
		x.s.Pause()
	case 4:
		x.pausing = false
		x.s.Resume()
	case 5:
		x.over = true
		x.s.Abort(codec.LocalReset, "")
	case 6:
		var t codec.Fields
		t.AddString(codec.GRPCStatus, "0")
		x.s.Trailers(&t)
	case 7:
		if b&8 != 0 {
			f.conn.Shutdown()
		}
	}
}

func (x *hearer) call() {
	if x.over {
		x.f.t.Fatal("a call after the end")
	}
}

// Head implements codec.Receiver.
func (x *hearer) Head(h *codec.Head, end bool) {
	x.call()
	if x.head {
		x.f.t.Fatal("two heads")
	}
	x.f.fieldsForwardable(&h.Fields, h.Upgrade)
	x.head, x.ended, x.length = true, end, h.Length
	x.f.act(x)
}

// Informational implements codec.Receiver.
func (x *hearer) Informational(h *codec.Head) {
	x.call()
	if x.head || h.Status < 100 || h.Status > 199 {
		x.f.t.Fatal("an informational response behind the head", h.Status)
	}
}

// Body implements codec.Receiver.
func (x *hearer) Body(p []byte, end bool) {
	x.call()
	if !x.head || x.ended || x.pausing {
		x.f.t.Fatal("a body before the head, behind the end, or to one who is paused")
	}
	x.ended = end
	x.got += int64(len(p))
	if x.length >= 0 && (x.got > x.length || end && x.got != x.length && x.s.asked != codec.HEAD && !x.s.noBody) {
		x.f.t.Fatalf("a body of %d bytes, not %d", x.got, x.length)
	}
	x.f.act(x)
}

// Trailers implements codec.Receiver.
func (x *hearer) Trailers(t *codec.Fields) {
	x.call()
	if !x.head || x.ended {
		x.f.t.Fatal("trailers out of order")
	}
	x.ended = true
	x.f.fieldsForwardable(t, false)
}

// Writable implements codec.Receiver.
func (x *hearer) Writable() { x.call() }

// Abort implements codec.Receiver.
func (x *hearer) Abort(codec.Reason, string) {
	x.call()
	x.over = true
}

// run feeds the input in pieces of step bytes, then ends the connection, and looks for what is left over.
func (f *subject) run(in []byte, step int) {
	var kept []byte
	for len(in) > 0 {
		n := min(step, len(in))
		kept = append(kept, in[:n]...)
		in = in[n:]
		used, err := f.conn.Feed(kept)
		kept = append([]byte(nil), kept[used:]...)
		if len(kept) > minFrame+frameHeader {
			f.t.Fatalf("%d bytes are not consumed", len(kept))
		}
		if err != nil {
			break
		}
		for x := range f.live {
			f.act(f.live[x])
		}
		for f.asked {
			f.asked = false
			f.conn.Attend()
		}
	}
	f.acts = nil
	for s, x := range f.live { // who is paused hears the rest
		x.pausing = false
		s.Resume()
	}
	f.conn.Attend()
	f.conn.Close(codec.ConnectionTermination, "")
	f.conn.Attend()
	if len(f.live) != 0 || f.slab.InUse() != 0 || f.conn.Active() != 0 {
		f.t.Fatalf("%d streams, %d bytes, %d active are left over", len(f.live), f.slab.InUse(), f.conn.Active())
	}
	f.wellFormed()
}

// wellFormed reads what was sent as another implementation does.
func (f *subject) wellFormed() {
	b := bytes.TrimPrefix(f.out.Bytes(), []byte(http2.ClientPreface))
	fr := http2.NewFramer(nil, bytes.NewReader(b))
	for {
		if _, err := fr.ReadFrame(); err != nil {
			if err.Error() != "EOF" {
				f.t.Fatalf("what was sent is broken: %v", err)
			}
			return
		}
	}
}

func fuzzLimits() Limits {
	l := Edge()
	l.Streams, l.StreamWindow, l.ConnWindow, l.HeadBytes, l.Connect = 10, 65535, 65535, 4000, true
	return l
}

// FuzzServer feeds bytes to a server, behind a preface and SETTINGS.
func FuzzServer(f *testing.F) {
	for _, frames := range seeds(f, "server") {
		f.Add(frames, []byte{1, 10, 2, 6, 3, 4, 5}, uint8(7))
		f.Add(frames, []byte{9}, uint8(255))
	}
	f.Fuzz(func(t *testing.T, in, acts []byte, step uint8) {
		x := &subject{t: t, live: map[*Stream]*hearer{}, acts: acts}
		x.conn.Init(Server, fuzzLimits(), x, x, &x.slab)
		start := append([]byte(preface), 0, 0, 0, 4, 0, 0, 0, 0, 0)
		x.run(append(start, in...), 1+int(step))
	})
}

// FuzzClient feeds bytes to a client that has asked three things, behind SETTINGS.
func FuzzClient(f *testing.F) {
	for _, frames := range seeds(f, "client") {
		f.Add(frames, []byte{2, 6, 3, 4, 5}, uint8(7))
		f.Add(frames, []byte{}, uint8(255))
	}
	f.Fuzz(func(t *testing.T, in, acts []byte, step uint8) {
		x := &subject{t: t, live: map[*Stream]*hearer{}, acts: acts}
		x.conn.Init(Client, fuzzLimits(), x, x, &x.slab)
		x.ask()
		x.run(append([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}, in...), 1+int(step))
	})
}

// seeds are the frames of the peers in the scripts, one conversation each.
func seeds(f *testing.F, role string) (all [][]byte) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		var frames []byte
		p, on := &play{t: nil}, false
		for line := range strings.Lines(string(b)) {
			word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			switch {
			case word == "server" || word == "client":
				if len(frames) > 0 && len(frames) < 1000 {
					all = append(all, frames)
				}
				frames, on = nil, word == role
				p.restart()
			case word == "peer" && on && !strings.HasPrefix(rest, "PREFACE"):
				head, fields, _ := strings.Cut(rest, "; ")
				frames = append(frames, p.wire(head, strings.Fields(head), fields)...)
			}
		}
	}
	if len(all) < 3 {
		f.Fatal("no seeds")
	}
	return all
}
