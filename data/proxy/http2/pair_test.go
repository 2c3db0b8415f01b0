package http2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// side is one end of a pair: a Conn whose Output is the other's input, some time later.
type side struct {
	t     *testing.T
	r     *rand.Rand
	conn  Conn
	slab  Slab
	wire  []byte // written, not yet at the other end
	in    []byte // arrived, not yet taken
	high  bool   // wire was long
	asked bool
	talks map[*Stream]*talk
	ended int
	makes func(s *Stream) *talk // the server's part of a new exchange
	rough bool                  // streams may be aborted
}

// Write implements Output.
func (d *side) Write(p []byte) {
	d.wire = append(d.wire, p...)
	d.high = d.high || len(d.wire) > d.low()
}

// Buffered implements Output.
func (d *side) Buffered() int { return len(d.wire) }

// low is what is little, as a loop.Conn has it.
func (d *side) low() int { return d.conn.limits.Output / 4 }

// Request implements Owner.
func (d *side) Request(s *Stream, h *codec.Head, end bool) codec.Receiver {
	k := d.makes(s)
	k.id, _ = h.Value(codec.RequestID)
	k.id = append([]byte(nil), k.id...)
	k.got.begin(k.id, 'q')
	if end {
		k.got.end("")
	}
	if d.r.IntN(10) == 0 {
		s.Informational(statusHead(103))
	}
	return k
}

// Malformed implements Owner.
func (d *side) Malformed(_ *Stream, _ *codec.Head, err *Error) {
	d.t.Fatalf("own requests are malformed: %v", err)
}

// Closed implements Owner.
func (d *side) Closed(s *Stream) {
	k := d.talks[s]
	if k == nil {
		d.t.Fatal("a stream was closed that was not open")
	}
	cut := d.rough && d.conn.role == Client && k.got.done // a server may not want the rest of a request that it has answered
	if !k.aborted && (!k.got.done || !k.sent) && !cut {
		d.t.Fatalf("%s was closed before it was complete", k.id)
	}
	k.closed = true
	delete(d.talks, s)
	d.ended++
}

// Attend implements Owner.
func (d *side) Attend() { d.asked = true }

// talk is one side's part of an exchange.
type talk struct {
	d        *side
	s        *Stream
	id       []byte
	head     bool // sent
	left     int  // bytes of the body that are still to be sent
	at       int
	trailers bool
	sent     bool
	got      check
	paused   bool
	aborted  bool
	closed   bool
}

// check compares a received message with what must come: bytes that follow from the exchange and the direction.
type check struct {
	key  byte
	at   int
	end_ string
	done bool
}

func (c *check) begin(id []byte, direction byte) {
	c.key = direction
	for _, b := range id {
		c.key = c.key*31 + b
	}
}

func (c *check) end(trailers string) { c.done, c.end_ = true, trailers }

func pattern(key byte, i int) byte { return byte(i)*7 + byte(i>>8)*13 + key }

func statusHead(status int) *codec.Head {
	h := &codec.Head{}
	h.Reset()
	h.Status = status
	return h
}

func (k *talk) alive() {
	if k.closed || k.aborted {
		k.d.t.Fatalf("%s: a call after the end", k.id)
	}
}

// Head implements codec.Receiver.
func (k *talk) Head(h *codec.Head, end bool) {
	k.alive()
	if h.Status != 200 {
		k.d.t.Fatalf("%s: status %d", k.id, h.Status)
	}
	if end {
		k.got.end("")
	}
}

// Informational implements codec.Receiver.
func (k *talk) Informational(h *codec.Head) {
	k.alive()
	if h.Status != 103 {
		k.d.t.Fatalf("%s: interim %d", k.id, h.Status)
	}
}

// Body implements codec.Receiver.
func (k *talk) Body(p []byte, end bool) {
	k.alive()
	if k.got.done || k.paused {
		k.d.t.Fatalf("%s: %d bytes behind the end (%t), or to one who is paused (%t)", k.id, len(p), k.got.done, k.paused)
	}
	for _, b := range p {
		if b != pattern(k.got.key, k.got.at) {
			k.d.t.Fatalf("%s: byte %d is %d, want %d", k.id, k.got.at, b, pattern(k.got.key, k.got.at))
		}
		k.got.at++
	}
	if end {
		k.got.end("")
	}
	if k.d.r.IntN(8) == 0 {
		k.pause()
	}
	k.maybeAbort()
}

// Trailers implements codec.Receiver.
func (k *talk) Trailers(t *codec.Fields) {
	k.alive()
	v, _ := t.Value(codec.GRPCStatus)
	k.got.end(string(v))
}

// Writable implements codec.Receiver.
func (k *talk) Writable() { k.alive() }

// Abort implements codec.Receiver.
func (k *talk) Abort(codec.Reason, string) {
	k.alive()
	if !k.d.rough {
		k.d.t.Fatalf("%s was aborted", k.id)
	}
	k.aborted = true
}

func (k *talk) pause() {
	k.paused = true
	k.s.Pause()
}

func (k *talk) maybeAbort() {
	if k.d.rough && k.d.r.IntN(100) == 0 {
		k.aborted = true
		k.s.Abort(codec.LocalReset, "")
	}
}

// act does something that a user might do.
func (k *talk) act() {
	if k.closed || k.aborted {
		return
	}
	r := k.d.r
	switch {
	case k.paused:
		if r.IntN(3) == 0 {
			k.paused = false
			k.s.Resume()
		}
		return
	case r.IntN(20) == 0 && !k.got.done:
		k.pause()
		return
	}
	k.maybeAbort()
	if k.aborted || k.sent || k.s.Full() && r.IntN(4) > 0 {
		return
	}
	if !k.head {
		k.head = true
		k.sent = k.left == 0 && !k.trailers && r.IntN(2) == 0
		k.s.Head(statusHead(200), k.sent)
		return
	}
	k.write()
}

// write sends a piece of the body, or the end.
func (k *talk) write() {
	r, direction := k.d.r, byte('q')
	if k.d.conn.role == Server {
		direction = 's'
	}
	var c check
	c.begin(k.id, direction)
	n := min(k.left, 1+r.IntN(1<<r.IntN(16)))
	p := make([]byte, n)
	for i := range p {
		p[i] = pattern(c.key, k.at+i)
	}
	k.at, k.left = k.at+n, k.left-n
	switch {
	case k.left > 0:
		k.s.Body(p, false)
	case !k.trailers:
		k.sent = true
		k.s.Body(p, true)
	default:
		k.sent = true
		k.s.Body(p, false)
		var f codec.Fields
		f.Add(codec.GRPCStatus, k.id)
		k.s.Trailers(&f)
	}
}

// turn does what a loop does at the end of a turn.
func (d *side) turn() {
	for d.asked {
		d.asked = false
		d.conn.Attend()
	}
	if d.high && len(d.wire) <= d.low() {
		d.high = false
		d.conn.Writable()
	}
}

// carry brings some bytes to the other end.
func (d *side) carry(to *side, all bool) bool {
	n := len(d.wire)
	if !all && n > 0 {
		n = 1 + d.r.IntN(n)
		if d.r.IntN(2) == 0 {
			n = min(n, 1+d.r.IntN(40))
		}
	}
	if n == 0 {
		return false
	}
	to.in = append(to.in, d.wire[:n]...)
	d.wire = append([]byte(nil), d.wire[n:]...)
	used, err := to.conn.Feed(to.in)
	if err != nil {
		d.t.Fatal(err)
	}
	to.in = append([]byte(nil), to.in[used:]...)
	return true
}

func randomLimits(r *rand.Rand) Limits {
	l := Defaults()
	l.StreamWindow = []uint32{1, 100, 5000, 65535, 1 << 20}[r.IntN(5)]
	l.ConnWindow = []uint32{65535, 100000, 4 << 20}[r.IntN(3)]
	l.Streams = []uint32{1, 3, 100}[r.IntN(3)]
	l.TableSize = []uint32{0, 100, 4096, 10000}[r.IntN(4)]
	l.StreamQueue = []int{0, 1000, 64 << 10}[r.IntN(3)]
	l.Output = []int{1, 3000, HighWatermark}[r.IntN(3)]
	l.Plain = r.IntN(2) == 0
	l.PrematureResets = 1 << 20
	return l
}

// TestPairs joins a client and a server in random ways: sizes, windows, pieces, delays, pauses. Every byte must arrive once and in order, no stream may be stuck, and no
// memory may be left over.
func TestPairs(t *testing.T) {
	for seed := range uint64(120) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { pairs(t, seed) })
	}
}

func pairs(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 9))
	c, s := &side{t: t, r: r, talks: map[*Stream]*talk{}}, &side{t: t, r: r, talks: map[*Stream]*talk{}}
	c.rough, s.rough = seed%3 == 2, seed%3 == 2
	c.conn.Init(Client, randomLimits(r), c, c, &c.slab)
	s.conn.Init(Server, randomLimits(r), s, s, &s.slab)
	size := func() int {
		n := r.IntN(1 << r.IntN(18))
		if min(c.conn.limits.StreamWindow, s.conn.limits.StreamWindow) < 1000 {
			n %= 2000
		}
		return n
	}
	s.makes = func(x *Stream) *talk {
		k := &talk{d: s, s: x, left: size(), trailers: r.IntN(2) == 0}
		s.talks[x] = k
		return k
	}
	const total = 30
	asked := 0
	for step := 0; asked < total || len(c.talks)+len(s.talks) > 0; step++ {
		if step > 3e6 {
			t.Fatalf("stuck: %s", stuck(c, s))
		}
		if asked < total && c.conn.Available() > 0 && r.IntN(10) == 0 {
			asked++
			ask(c, asked, size())
		}
		for _, d := range []*side{c, s} {
			if k := any1(r, d.talks); k != nil {
				k.act()
				d.turn()
			}
		}
		switch r.IntN(4) {
		case 0:
			c.carry(s, false)
		case 1:
			s.carry(c, false)
		case 2:
			c.carry(s, true)
		case 3:
			s.carry(c, true)
		}
		c.turn()
		s.turn()
	}
	if c.ended != total || s.ended > total || !c.rough && s.ended != total {
		t.Errorf("%d and %d streams ended, want %d", c.ended, s.ended, total)
	}
	if c.slab.InUse()+s.slab.InUse() != 0 || c.conn.Active()+s.conn.Active() != 0 {
		t.Errorf("%d and %d bytes, %d and %d streams are left over", c.slab.InUse(), s.slab.InUse(), c.conn.Active(), s.conn.Active())
	}
}

func ask(c *side, i, size int) {
	k := &talk{d: c, left: size, trailers: c.r.IntN(2) == 0, head: true}
	k.s = c.conn.Open(k)
	c.talks[k.s] = k
	k.id = fmt.Appendf(nil, "exchange-%d", i)
	k.got.begin(k.id, 's')
	h := &codec.Head{}
	h.Reset()
	h.SetMethod([]byte("POST"))
	h.SetScheme("http")
	h.SetAuthorityString("a.example")
	h.SetPath([]byte("/"))
	h.Add(codec.RequestID, k.id)
	h.AddString(codec.UserAgent, strings.Repeat("long", c.r.IntN(3)*3000))
	k.sent = size == 0 && !k.trailers && c.r.IntN(2) == 0
	k.s.Head(h, k.sent)
}

// any1 is a random one of the talks, in an order that depends on the seed only.
func any1(r *rand.Rand, m map[*Stream]*talk) *talk {
	var best *talk
	pick := r.Uint32()
	var least uint32
	for _, k := range m {
		h := pick
		for _, b := range k.id {
			h = (h ^ uint32(b)) * 16777619
		}
		if best == nil || h < least || h == least && bytes.Compare(k.id, best.id) < 0 {
			best, least = k, h
		}
	}
	return best
}

func stuck(sides ...*side) (s string) {
	for _, d := range sides {
		for _, k := range d.talks {
			s += fmt.Sprintf("\n%s role %d: left %d, sent %t, got %d, done %t, paused %t; stream: window %d, queue %d, parked %d, gotEnd %t, sentEnd %t",
				k.id, d.conn.role, k.left, k.sent, k.got.at, k.got.done, k.paused, k.s.sendWindow, k.s.queue.bytes, k.s.parked.bytes, k.s.gotEnd, k.s.sentEnd)
		}
		s += fmt.Sprintf("\nrole %d: window %d, ring %t, wire %d, in %d", d.conn.role, d.conn.sendWindow, !d.conn.ring.empty(), len(d.wire), len(d.in))
	}
	return s
}
