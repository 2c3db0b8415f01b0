package stream

import (
	"cmp"
	"fmt"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/accesslog"
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/filter/path"
	"github.com/heddle-mesh/heddle/data/proxy/http1"
	"github.com/heddle-mesh/heddle/data/proxy/http2"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/pool"
	"github.com/heddle-mesh/heddle/data/proxy/route"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/trace"
)

// RouteSource finds route tables by name; route.Set is one.
type RouteSource interface {
	Table(name string) *route.Table
}

// Options are what a Manager needs beside its configuration. Stats and Routes must be set.
type Options struct {
	Stats    *stats.Registry
	Routes   RouteSource
	Filters  func([]config.Filter) ([]Filter, error)
	Reporter Reporter // nil for none
	Tracer   func(*config.Tracing) *trace.Tracer
	// Direction is the listener's; Listener and Chain name it and the filter chain, for the decision trail.
	Direction       config.Direction
	Listener, Chain string
}

// Manager is a connection manager's configuration, ready for use.
type Manager struct {
	Config    *config.HTTP
	Direction config.Direction
	// Listener and Chain name the listener and the filter chain that it stands in.
	Listener, Chain string

	routes   RouteSource
	inline   *route.Table
	filters  []Filter
	logs     []*accesslog.Log
	reporter Reporter
	tracer   *trace.Tracer // nil for none
	stats    Stats
	registry *stats.Registry
	limits   http1.Limits
	frames   http2.Limits
	paths    path.Options
	server   string
	// tellEvery is how often the messages of a stream that goes on are told.
	tellEvery time.Duration

	succession succession
}

// NewManager prepares a configuration.
func NewManager(c *config.HTTP, o Options) (*Manager, error) {
	m := &Manager{Config: c, Direction: o.Direction, Listener: o.Listener, Chain: o.Chain, routes: o.Routes, reporter: o.Reporter, stats: newStats(o.Stats, c.Stat), registry: o.Stats, tellEvery: tellEvery}
	for i := range c.Filters {
		if f := &c.Filters[i]; f.Metrics != nil && f.Metrics.Interval > 0 {
			m.tellEvery = f.Metrics.Interval
		}
	}
	if c.Inline != nil {
		m.inline = route.New(c.Inline)
	}
	if len(c.Filters) > 0 {
		if o.Filters == nil {
			return nil, fmt.Errorf("http_filters: %d filters and nobody to make them", len(c.Filters))
		}
		var err error
		if m.filters, err = o.Filters(c.Filters); err != nil {
			return nil, fmt.Errorf("http_filters: %w", err)
		}
	}
	for i, l := range c.AccessLogs {
		log, ok := l.Log.(*accesslog.Log)
		if !ok {
			return nil, fmt.Errorf("access_log[%d]: %T is no access log", i, l.Log)
		}
		m.logs = append(m.logs, log)
	}
	m.limits = http1.Limits{HeadBytes: c.MaxHeadBytes, Fields: c.MaxFields, Underscores: codec.Underscores(c.Underscores)}
	if c.Tracing != nil && o.Tracer != nil {
		m.tracer = o.Tracer(c.Tracing)
		m.tracer.Egress = o.Direction == config.Outbound
	}
	m.frames = frames(c)
	m.paths = path.Options{Normalize: c.NormalizePath, MergeSlashes: c.MergeSlashes, Escaped: c.EscapedSlashes}
	if m.server = c.ServerName; m.server == "" {
		m.server = "envoy"
	}
	return m, nil
}

// frames are the limits of HTTP/2 connections: what is configured, else Envoy's.
func frames(c *config.HTTP) http2.Limits {
	l := http2.Defaults().With(&c.Frames)
	l.HeadBytes, l.Fields, l.Underscores = c.MaxHeadBytes, c.MaxFields, codec.Underscores(c.Underscores)
	return l
}

// headTime is how long a head may take. Where nothing else is asked for it is as long as a stream may be idle, or a client could hold a connection with one byte.
func (m *Manager) headTime() time.Duration {
	if d := m.Config.HeadersTimeout; d > 0 {
		return d
	}
	return m.Config.StreamIdleTimeout
}

func (m *Manager) table() *route.Table {
	if m.inline != nil {
		return m.inline
	}
	return m.routes.Table(m.Config.RouteName)
}

// Overload says whether an action that is in force meets this request; random is any number.
type Overload interface {
	Hits(k config.OverloadKind, random uint64) bool
}

func (w *Worker) overloaded(k config.OverloadKind, random uint64) bool {
	return w.Overload != nil && w.Overload.Hits(k, random)
}

// Worker is one loop.Worker's part: its free exchanges, its connections and what they share.
type Worker struct {
	Loop  *loop.Worker
	Shard *stats.Shard
	Pools *pool.Worker
	// Overload says what is given up for lack of memory (overload.State); nil for nothing.
	Overload Overload

	free      []*Exchange
	scratch   []byte
	reply     []byte // the body of a local reply
	fields    []http1.Field
	request   route.Request
	record    accesslog.Record
	clients   *link
	parts     *part // free ones
	freeParts int
	slab      http2.Slab
	active    int
	draining  bool
	chance    time.Duration // of a connection at rest, while draining
	ids       uint64

	id     [trace.IDSize]byte
	date   []byte
	dateOf int64
	routes map[routeKey]*routeStats // of routes that have counters of their own: as many as configuration names
}

// NewWorker makes a worker's part.
func NewWorker(p *pool.Worker) *Worker {
	return &Worker{Loop: p.Loop, Shard: p.Shard, Pools: p, scratch: make([]byte, 0, 4096)}
}

// Active is the number of exchanges in flight.
func (w *Worker) Active() int { return w.active }

// Drain makes every response from now on the last one of its connection, and lets connections rest for a while only: 0 is the usual short one.
func (w *Worker) Drain(rest time.Duration) {
	w.draining, w.chance = true, cmp.Or(rest, lastChance)
	w.each(client.drain)
}

// CloseIdle closes the connections that no exchange uses and on which no request is on its way.
func (w *Worker) CloseIdle() { w.each(client.leave) }

// httpDate is the date header, made once per second.
func (w *Worker) httpDate() []byte {
	now := w.Loop.Wall()
	if s := now.Unix(); s != w.dateOf || w.date == nil {
		w.dateOf = s
		w.date = now.UTC().AppendFormat(w.date[:0], "Mon, 02 Jan 2006 15:04:05 GMT")
	}
	return w.date
}

// maxFree bounds the exchanges that a worker keeps for reuse.
const maxFree = 1024

func (w *Worker) take() *Exchange {
	if n := len(w.free); n > 0 {
		x := w.free[n-1]
		w.free = w.free[:n-1]
		return x
	}
	x := &Exchange{w: w}
	x.timers.init(x)
	return x
}

func (w *Worker) give(x *Exchange) {
	x.reset()
	if len(w.free) < maxFree {
		w.free = append(w.free, x)
	}
}

// millis is a duration in whole milliseconds.
func millis(d time.Duration) int64 { return d.Milliseconds() }

var _ RouteSource = (*route.Set)(nil)
var _ codec.Stream = (*conn)(nil)
