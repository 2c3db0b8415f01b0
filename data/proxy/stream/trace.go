package stream

import (
	"cmp"

	"github.com/heddle-mesh/heddle/data/proxy/accesslog"
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/trace"
)

// tracing is what an exchange has to do with its trace.
type tracing struct {
	context   trace.Context
	active    bool        // the next hop is told of context
	span      *trace.Span // nil when the request is not sampled
	try       *trace.Span // of the latest try
	operation string      // of the route's decorator, if the other side is to hear of it
	traced    bool
	number    int // of the try that has a span
}

// decideTracing says whether the request is traced, which its id tells the next hops.
func (x *Exchange) decideTracing() {
	if t := x.m.tracer; t != nil {
		x.trace.traced = x.m.Config.AnyID || t.Decide(&x.Request, x.random)
	}
}

// beginTracing begins the span, when the route is known, and exchanges its name with the other side (Envoy, "config.route.v3.Decorator").
func (x *Exchange) beginTracing() {
	t := x.m.tracer
	if t == nil {
		return
	}
	x.trace.context, x.trace.active = t.Begin(&x.Request, x.trace.traced, x.w.Loop.Rand)
	if x.trace.active && x.trace.context.Sampled {
		x.trace.span = x.openSpan(t)
	}
	if r := x.route; r != nil && r.Operation != "" {
		x.nameSpan(r.Operation)
		if !r.Silent {
			x.trace.operation = r.Operation
		}
	}
	if t.Egress {
		if x.trace.operation != "" {
			x.Request.SetString(codec.EnvoyDecoratorOperation, x.trace.operation)
		}
		return
	}
	if v, ok := x.Request.Value(codec.EnvoyDecoratorOperation); ok {
		if len(v) > 0 {
			if x.trace.span != nil {
				x.nameSpan(string(v))
			}
			x.trace.operation = ""
		}
		x.Request.Del(codec.EnvoyDecoratorOperation)
	}
}

func (x *Exchange) nameSpan(name string) {
	if x.trace.span != nil {
		x.trace.span.Name = name
	}
}

func (x *Exchange) openSpan(t *trace.Tracer) *trace.Span {
	s := t.Exporter.Span(x.w.Loop.Index())
	s.Context, s.Start, s.Kind = x.trace.context, x.arrived, t.Kind()
	s.Shared = t.Joins()
	switch {
	case t.Exporter.Provider.Zipkin:
		s.Name = string(x.Request.Authority())
	case t.Egress:
		s.Name = "egress " + string(x.Request.Authority())
	default:
		s.Name = "ingress"
	}
	if !t.Exporter.Provider.Zipkin {
		s.State = trace.State(&x.Request)
	}
	return s
}

// traceTry tells the next hop, of the request's span or of one for this try. A try's span ends with the answer or the next try.
func (x *Exchange) traceTry() {
	if !x.trace.active {
		return
	}
	t, c := x.m.tracer, x.trace.context
	if t.Config.SpawnUpstream {
		x.endTrySpan(0) // of a try that was given up
		c = x.trace.context.Child(x.w.Loop.Rand)
		if x.trace.span != nil {
			s := t.Exporter.Span(x.w.Loop.Index())
			s.Context, s.Start, s.Kind, s.Name, s.State = c, x.w.Loop.Wall(), trace.Client, "router "+x.observed()+" egress", x.trace.span.State
			x.trace.try, x.trace.number = s, x.attempts
		}
	}
	t.Propagate(&x.Request, &c, x.w.scratch)
}

// traceResponse exchanges the span's name with the other side of the response.
func (x *Exchange) traceResponse(h *codec.Head) {
	t := x.m.tracer
	if t == nil {
		return
	}
	if !t.Egress {
		if x.trace.operation != "" {
			h.SetString(codec.EnvoyDecoratorOperation, x.trace.operation)
		}
		return
	}
	if v, ok := h.Value(codec.EnvoyDecoratorOperation); ok {
		if len(v) > 0 && x.trace.span != nil {
			x.nameSpan(string(v))
		}
		h.Del(codec.EnvoyDecoratorOperation)
	}
}

// endTrySpan finishes the span of a try with the status that came of it; 0: none.
func (x *Exchange) endTrySpan(status int) { x.closeTrySpan(status, "-") }

// failTrySpan finishes the span of a try that brought no response.
func (x *Exchange) failTrySpan(r codec.Reason) {
	if x.trace.try != nil {
		x.trace.try.Tag("error.reason", r.String())
		x.closeTrySpan(0, r.Flag().String())
	}
}

func (x *Exchange) closeTrySpan(status int, flags string) {
	s := x.trace.try
	if s == nil {
		return
	}
	x.trace.try = nil
	s.End = x.w.Loop.Wall()
	s.Tag("component", "proxy")
	x.tagCluster(s)
	if x.tryBegan {
		s.Tag("http.protocol", x.upstreamProtocol())
	} else {
		s.Tag("http.protocol", "-")
	}
	if x.host != nil {
		address := x.host.Address.String()
		s.Tag("upstream_address", address)
		s.Tag("peer.address", address)
	}
	if n := x.trace.number; n > 1 {
		s.TagInt("retry.count", int64(n-1))
	}
	x.tagStatus(s, status, flags)
	x.m.tracer.Exporter.Finish(x.w.Loop.Index(), s)
}

func (x *Exchange) upstreamProtocol() string {
	if x.cluster != nil && x.frames(x.cluster) {
		return "HTTP/2"
	}
	return "HTTP/1.1"
}

// endTracing finishes the spans. It is called once for each exchange, with its books.
func (x *Exchange) endTracing() {
	s := x.trace.span
	if s == nil {
		return
	}
	x.endTrySpan(0)
	h, t := &x.Request, x.m.tracer
	s.End = s.Start.Add(x.Duration())
	s.Tag("node_id", t.Node)
	s.Tag("zone", t.Zone)
	if v, ok := h.Value(codec.RequestID); ok {
		s.TagBytes("guid:x-request-id", v)
	}
	s.TagBytes("http.url", x.spanURL())
	s.TagBytes("http.method", h.Method())
	x.tagHeader(s, "downstream_cluster", codec.EnvoyDownstreamCluster)
	x.tagHeader(s, "user_agent", codec.UserAgent)
	s.Tag("http.protocol", x.down.protocol())
	if ip := x.origin.DirectRemote(); ip.IsUnix() {
		s.Tag("peer.address", ip.Path)
	} else {
		s.Tag("peer.address", ip.Addr().String())
	}
	if v, ok := trace.ClientID(h); ok {
		s.TagBytes("guid:x-client-trace-id", v)
	}
	s.TagInt("request_size", int64(x.received))
	s.TagInt("response_size", int64(x.sent))
	s.Tag("component", "proxy")
	x.tagCluster(s)
	flags := x.flags.String()
	if flags == "" {
		flags = "-"
	}
	x.tagStatus(s, x.Response.Status, flags)
	for i := range t.Config.Tags {
		x.customTag(s, i)
	}
	t.Exporter.Finish(x.w.Loop.Index(), s)
}

func (x *Exchange) tagCluster(s *trace.Span) {
	if x.cluster != nil {
		s.Tag("upstream_cluster", x.name)
		s.Tag("upstream_cluster.name", x.observed())
	}
}

// observed is the cluster's name for people (alt_stat_name).
func (x *Exchange) observed() string { return cmp.Or(x.cluster.Config().AltStat, x.name) }

// tagStatus tells how it ended. A response that failed, or that never came, is an error; as with Envoy, only the former makes the span's status one.
func (x *Exchange) tagStatus(s *trace.Span, status int, flags string) {
	s.TagInt("http.status_code", int64(status))
	s.Tag("response_flags", flags)
	s.Failed = status >= 500
	if status == 0 || s.Failed {
		s.Tag("error", "true")
	}
}

func (x *Exchange) tagHeader(s *trace.Span, key string, n codec.Name) {
	if v, ok := x.Request.Value(n); ok {
		s.TagBytes(key, v)
	} else {
		s.Tag(key, "-")
	}
}

func (x *Exchange) customTag(s *trace.Span, i int) {
	c := &x.m.tracer.Config.Tags[i]
	if f, ok := c.Format.(*accesslog.Format); ok {
		r := x.Record()
		r.Raw = true
		if v := f.Append(x.w.scratch[:0], r); len(v) > 0 {
			s.TagBytes(c.Name, v)
		}
		return
	}
	if c.Header != "" {
		if v, ok := x.Request.Get(c.Header); ok {
			s.TagBytes(c.Name, v)
			return
		}
		if c.Value == "" {
			return
		}
	}
	s.Tag(c.Name, c.Value)
}

// spanURL is the request's URL, its path cut to the length that is configured.
func (x *Exchange) spanURL() []byte {
	h := &x.Request
	path := h.Path()
	if v, ok := h.Value(codec.EnvoyOriginalPath); ok {
		path = v
	}
	path = path[:min(len(path), x.m.tracer.Config.MaxPath)]
	b := x.w.scratch[:0]
	if v, ok := h.Value(codec.ForwardedProto); ok {
		b = append(b, v...)
	}
	b = append(append(b, "://"...), h.Authority()...)
	return append(b, path...)
}
