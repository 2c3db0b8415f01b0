package report

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
)

// Tap shows finished exchanges to whoever listens. While nobody does it costs one load per exchange. It implements stream.Reporter, before another.
type Tap struct {
	Next stream.Reporter

	mu        sync.Mutex // of changes
	listeners atomic.Pointer[[]*tapped]
}

const (
	maxTaps    = 8   // at once
	maxWaiting = 256 // exchanges that one who listens has not read yet
)

// tapped is one who listens.
type tapped struct {
	filter  TapFilter
	lines   chan []byte
	dropped atomic.Uint64
}

// TapEvent is what is told of one exchange.
type TapEvent struct {
	Start      time.Time  `json:"start"`
	Direction  string     `json:"direction"` // inbound, outbound or unspecified
	Downstream string     `json:"downstream,omitempty"`
	Peer       string     `json:"peer,omitempty"` // identity that the client proved
	Protocol   string     `json:"protocol"`
	Method     string     `json:"method"`
	Authority  string     `json:"authority"`
	Path       string     `json:"path"`
	Request    [][]string `json:"request_headers"` // names and values, in order
	Status     int        `json:"status"`
	Response   [][]string `json:"response_headers,omitempty"`
	Flags      string     `json:"flags,omitempty"`
	Details    string     `json:"details,omitempty"`
	Table      string     `json:"route_config,omitempty"`
	Host       string     `json:"virtual_host,omitempty"`
	Route      string     `json:"route,omitempty"`
	Origin     string     `json:"origin,omitempty"` // the user's object that the route comes from
	Policy     string     `json:"policy,omitempty"` // that decided on access
	Cluster    string     `json:"cluster,omitempty"`
	Endpoint   string     `json:"endpoint,omitempty"`
	Attempts   int        `json:"attempts"`
	Received   uint64     `json:"bytes_received"`
	Sent       uint64     `json:"bytes_sent"`
	// Milliseconds since the start, to the request's last byte, the response's first and its last; -1 for what never came.
	RequestDone   float64 `json:"request_done_ms"`
	ResponseBegan float64 `json:"response_began_ms"`
	Duration      float64 `json:"duration_ms"`
}

// Talking implements stream.Reporter: a tap shows what has finished.
func (t *Tap) Talking(x *stream.Exchange) { t.Next.Talking(x) }

// Finished implements stream.Reporter.
func (t *Tap) Finished(x *stream.Exchange) {
	t.Next.Finished(x)
	all := t.listeners.Load()
	if all == nil {
		return
	}
	for _, l := range *all {
		if l.filter.matches(x) {
			l.offer(x)
		}
	}
}

// offer hands an exchange over, unless too many wait already.
func (l *tapped) offer(x *stream.Exchange) {
	if len(l.lines) == cap(l.lines) { // not worth making the line
		l.dropped.Add(1)
		return
	}
	line, err := json.Marshal(eventOf(x, l.filter.Secrets))
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

func direction(d config.Direction) string {
	switch d {
	case config.Inbound:
		return "inbound"
	case config.Outbound:
		return "outbound"
	}
	return "unspecified"
}

func eventOf(x *stream.Exchange, secrets bool) *TapEvent {
	h, trail, times := &x.Request, x.Trail(), x.Times()
	e := &TapEvent{
		Start: times.Start.UTC(), Direction: direction(x.Manager().Direction), Downstream: x.Client.Address.String(), Peer: x.Origin().Identity(), Protocol: x.Protocol(),
		Method: string(h.Method()), Authority: string(h.Authority()), Path: string(h.Path()), Request: headers(&h.Fields, secrets), Status: x.Response.Status,
		Flags: trail.Flags, Details: trail.Details, Table: trail.Table, Host: trail.VirtualHost, Route: trail.Route, Origin: trail.Origin, Policy: trail.Policy,
		Cluster: trail.Cluster, Endpoint: trail.Endpoint, Attempts: trail.Attempts,
		RequestDone: millis(times.Request), ResponseBegan: millis(times.Response), Duration: millis(times.Whole),
	}
	e.Received, e.Sent = x.Bytes()
	if x.Response.Status != 0 {
		e.Response = headers(&x.Response.Fields, secrets)
	}
	return e
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
func (t *Tap) listen(f TapFilter) *tapped {
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
