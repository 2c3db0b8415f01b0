package report

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
	"github.com/heddle-mesh/heddle/telemetry/tap"
)

// Tap shows finished exchanges to whoever listens, and remembers the latest ones. While nobody listens it costs one load and one note per exchange, and no allocation. It
// implements stream.Reporter, before another.
type Tap struct {
	next   *Requests
	recent []recent // by worker

	mu        sync.Mutex // of changes
	listeners atomic.Pointer[[]*tapped]
}

const (
	maxTaps    = 8   // at once
	maxWaiting = 256 // exchanges that one who listens has not read yet
)

// tapped is one who listens.
type tapped struct {
	filter  tapFilter
	lines   chan []byte
	dropped atomic.Uint64
}

// NewTap makes a tap in front of a reporter.
func NewTap(next *Requests) *Tap {
	t := &Tap{next: next, recent: make([]recent, len(next.Reporter.workers))}
	for i := range t.recent {
		t.recent[i].all.most, t.recent[i].failed.most = keptRecent, keptFailed
	}
	return t
}

// Talking implements stream.Reporter: a tap shows what has finished.
func (t *Tap) Talking(x *stream.Exchange) { t.next.Talking(x) }

// Finished implements stream.Reporter.
func (t *Tap) Finished(x *stream.Exchange) {
	t.next.Finished(x)
	t.recent[x.Worker().Loop.Index()].remember(t.next.Reporter, x)
	all := t.listeners.Load()
	if all == nil {
		return
	}
	for _, l := range *all {
		if l.filter.quick(x) {
			l.offer(t.next.Reporter, x)
		}
	}
}

// offer hands an exchange over that the listener chooses, unless too many wait already.
func (l *tapped) offer(r *Reporter, x *stream.Exchange) {
	if len(l.lines) == cap(l.lines) { // not worth making the line
		l.dropped.Add(1)
		return
	}
	e := eventOf(r, x, l.filter.Secrets)
	if !l.filter.Matches(e) {
		return
	}
	line, err := json.Marshal(e)
	if err != nil {
		l.dropped.Add(1)
		return
	}
	select {
	case l.lines <- append(line, '\n'):
	default:
		l.dropped.Add(1)
	}
}

// eventOf is what is told of an exchange with its headers.
func eventOf(r *Reporter, x *stream.Exchange, secrets bool) *tap.Event {
	var p passage
	p.note(r, x)
	e := p.event()
	e.Method, e.Authority, e.Path, e.Request = string(x.Request.Method()), string(x.Request.Authority()), string(x.Request.Path()), headers(&x.Request.Fields, secrets)
	if x.Response.Status != 0 {
		e.Response = headers(&x.Response.Fields, secrets)
	}
	return e
}

func direction(d config.Direction) string {
	switch d {
	case config.Inbound:
		return "inbound"
	case config.Outbound:
		return "outbound"
	}
	return "unspecified"
}

func millis(d time.Duration) float64 {
	if d < 0 {
		return -1
	}
	return float64(d.Microseconds()) / 1000
}

// secret are the headers that prove who somebody is.
var secret = map[string]bool{"authorization": true, "proxy-authorization": true, "cookie": true, "set-cookie": true, "x-api-key": true, "x-forwarded-client-cert": true}

func headers(f *codec.Fields, secrets bool) (out [][]string) {
	out = [][]string{}
	for i := range f.Slots() {
		name, value, ok := f.At(i)
		if !ok {
			continue
		}
		text := string(value)
		if !secrets && (secret[string(name)] || f.Concealed(i)) {
			text = "[redacted]"
		}
		out = append(out, []string{string(name), text})
	}
	return out
}

// listen begins to show exchanges; nil when enough listen already.
func (t *Tap) listen(f tapFilter) *tapped {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*tapped
	if old := t.listeners.Load(); old != nil {
		all = append(all, *old...)
	}
	if len(all) >= maxTaps {
		return nil
	}
	l := &tapped{filter: f, lines: make(chan []byte, maxWaiting)}
	all = append(all, l)
	t.listeners.Store(&all)
	return l
}

func (t *Tap) leave(l *tapped) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var rest []*tapped
	for _, o := range *t.listeners.Load() {
		if o != l {
			rest = append(rest, o)
		}
	}
	if len(rest) == 0 {
		t.listeners.Store(nil)
		return
	}
	t.listeners.Store(&rest)
}
