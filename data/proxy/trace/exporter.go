package trace

import (
	"encoding/binary"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/pool"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

const (
	soon      = 200 * time.Millisecond // a span waits for others at most
	enough    = 128                    // spans are sent at once
	maxQueued = 1 << 20                // bytes of a worker's queue
	maxSpans  = 64                     // spans that a worker keeps for reuse
)

// Options are what an Exporter works with.
type Options struct {
	Provider *config.TraceProvider
	Pools    []*pool.Worker // by worker
	Stats    *stats.Registry
	Version  string
	Service  string // of the node, where the provider names none
	IP       string // of the workload, "" if it is not known
}

// Exporter sends the spans of one provider.
type Exporter struct {
	Options
	queues []*queue
	count  counters
}

type counters struct{ sent, dropped, failed, noCluster stats.Handle }

// queue is one worker's part.
type queue struct {
	e     *Exporter
	w     *pool.Worker
	spans []byte // encoded
	held  int
	alarm loop.Alarm
	busy  *report // on its way
	free  []*Span
	init  bool
}

// NewExporter makes an exporter.
func NewExporter(o Options) *Exporter {
	kind := "opentelemetry"
	if o.Provider.Zipkin {
		kind = "zipkin"
	}
	count := func(name string) stats.Handle {
		return o.Stats.Counter(stats.Desc{Name: "heddle_tracing_" + name + "_total", Labels: []stats.Label{{Name: "provider", Value: kind}}, Dotted: "tracing." + kind + "." + name})
	}
	e := &Exporter{Options: o, count: counters{count("spans_sent"), count("spans_dropped"), count("spans_failed"), count("spans_skipped_no_cluster")}}
	for _, w := range o.Pools {
		e.queues = append(e.queues, &queue{e: e, w: w})
	}
	return e
}

// Span gives a span to fill. It is the worker's until Finish.
func (e *Exporter) Span(worker int) *Span {
	q := e.queues[worker]
	if n := len(q.free); n > 0 {
		s := q.free[n-1]
		q.free = q.free[:n-1]
		return s
	}
	return &Span{}
}

// Finish takes a span to be sent.
func (e *Exporter) Finish(worker int, s *Span) {
	q := e.queues[worker]
	limit := e.Provider.MaxHeld
	if len(q.spans) > maxQueued || limit > 0 && q.held >= limit {
		q.w.Shard.Inc(e.count.dropped)
	} else {
		q.add(s)
	}
	if s.reset(); len(q.free) < maxSpans && cap(s.text) <= 16<<10 {
		q.free = append(q.free, s)
	}
}

func (q *queue) add(s *Span) {
	if q.e.Provider.Zipkin {
		if q.held > 0 {
			q.spans = append(q.spans, ',')
		}
		q.spans = appendZipkin(q.spans, s, q.e.Service, q.e.IP)
	} else {
		q.spans = appendOTLP(q.spans, s)
	}
	q.held++
	if !q.init {
		q.init = true
		q.alarm.Init(q.w.Loop, q.flush)
	}
	switch {
	case q.busy != nil:
	case q.held >= enough:
		q.flush()
	case q.held == 1:
		q.alarm.Set(soon)
	}
}

// Flush sends what waits. It is called on the worker.
func (e *Exporter) Flush(worker int) { e.queues[worker].flush() }

// Waiting is how many spans wait or are on their way. It is called on the worker.
func (e *Exporter) Waiting(worker int) int {
	q := e.queues[worker]
	if q.busy != nil {
		return q.held + q.busy.spans
	}
	return q.held
}

// flush sends what waits, unless a report is on its way: then it is sent behind that.
func (q *queue) flush() {
	if q.held == 0 || q.busy != nil {
		return
	}
	q.alarm.Stop()
	r := &report{q: q, spans: q.held, body: q.body()}
	q.spans, q.held = q.spans[:0], 0
	q.busy = r
	r.begin()
}

// body is the content of a request with the spans that wait.
func (q *queue) body() []byte {
	p := q.e.Provider
	if p.Zipkin {
		return append(append([]byte{'['}, q.spans...), ']')
	}
	service := p.Service
	if service == "" {
		service = "unknown_service:envoy"
	}
	resource := [][2]string{{"service.name", service}, {"telemetry.sdk.language", "go"}, {"telemetry.sdk.name", "heddle"}, {"telemetry.sdk.version", q.e.Version}}
	for _, x := range p.Resource {
		resource = append(resource, [2]string{x.Name, x.Value})
	}
	b := make([]byte, 0, len(q.spans)+512)
	if p.GRPC {
		b = append(b, 0, 0, 0, 0, 0)
	}
	b = wrapOTLP(b, q.spans, resource, q.e.Version)
	if p.GRPC {
		binary.BigEndian.PutUint32(b[1:], uint32(len(b)-5))
	}
	return b
}

// head is that of a request with spans.
func (p head) write(h *codec.Head, cluster string, length int) {
	h.Reset()
	h.SetMethod([]byte("POST"))
	h.SetScheme("http")
	host, path := p.Host, p.Path
	if host == "" {
		host = cluster
	}
	h.SetAuthorityString(host)
	switch {
	case p.GRPC:
		path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
		h.SetString(codec.TE, "trailers")
		h.SetString(codec.ContentType, "application/grpc")
	case p.Zipkin:
		h.SetString(codec.ContentType, "application/json")
	default:
		h.SetString(codec.ContentType, "application/x-protobuf")
	}
	h.SetPath([]byte(path))
	if !p.GRPC {
		h.SetInt(codec.ContentLength, int64(length))
	}
	h.Length = int64(length)
}

type head struct{ *config.TraceProvider }
