package health

import (
	"bytes"
	"slices"

	"github.com/heddle-mesh/heddle/data/proxy/accesslog"
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/filter/headers"
	"github.com/heddle-mesh/heddle/data/proxy/route"
)

const userAgent = "Envoy/HC" // what servers and their logs know

var (
	degradedName = codec.MakeName("x-envoy-degraded")
	checkedName  = codec.MakeName("x-envoy-upstream-healthchecked-cluster")
)

// httpProbe asks for a path.
type httpProbe struct {
	s       *session
	call    *call
	status  int
	content []byte
	exclude bool // the answer asks that the endpoint does not count
	last    bool // the answer asks that it is used last
	foreign bool // the answer is of another service
}

// begin implements probe.
func (p *httpProbe) begin() {
	k := p.s.c.config.HTTP
	p.content, p.status, p.exclude, p.last, p.foreign = p.content[:0], 0, false, false, false
	p.call = &call{s: p.s, answer: p, body: k.Send}
	h := &p.call.head
	newRequest(h, p.s, k.Method, k.Path, k.Host)
	if len(k.Send) > 0 {
		h.SetInt(codec.ContentLength, int64(len(k.Send)))
		h.Length = int64(len(k.Send))
	}
	headers.Request(h, &k.Headers, p.s.record)
	p.call.ask(k.HTTP2)
}

// newRequest writes what every request of a check has.
func newRequest(h *codec.Head, s *session, method, path, host string) {
	h.Minor, h.Length, h.Kind = 1, -1, codec.MethodOf([]byte(method))
	h.SetMethod([]byte(method))
	h.SetPath([]byte(path))
	h.SetAuthorityString(s.authority(host))
	scheme := "http"
	if s.target.TLS != nil {
		scheme = "https"
	}
	h.SetScheme(scheme)
	h.SetString(codec.UserAgent, userAgent)
}

// record is what formats of header values may refer to.
func (s *session) record() *accesslog.Record {
	at := s.target.Address
	return &accesslog.Record{
		Start: s.c.p.Loop.Wall(), Protocol: "HTTP/1.1", RequestDuration: -1, ResponseDuration: -1,
		UpstreamHost: accesslog.Address{AddrPort: at.AddrPort, Path: at.Path},
	}
}

// cancel implements probe.
func (p *httpProbe) cancel() {
	if p.call != nil {
		p.call.cancel()
	}
}

func (p *httpProbe) heard(h *codec.Head) {
	p.status, p.exclude, p.last = h.Status, h.Has(codec.EnvoyImmediateFail), h.Has(degradedName)
	if m := p.s.c.config.HTTP.Service; m != nil {
		v, _ := h.Value(checkedName)
		p.foreign = !route.String(m, v)
	}
}

func (p *httpProbe) body(b []byte) {
	k := p.s.c.config.HTTP
	if len(k.Receive) == 0 {
		return
	}
	if k.ReceiveLimit > 0 {
		b = b[:min(uint64(len(b)), k.ReceiveLimit-min(k.ReceiveLimit, uint64(len(p.content))))]
	}
	p.content = append(p.content, b...)
}

func (p *httpProbe) trailers(*codec.Fields) {}

func (p *httpProbe) done() {
	o := p.outcome()
	p.s.report(o, p.exclude && !o.well())
}

func (p *httpProbe) outcome() outcome {
	k := p.s.c.config.HTTP
	if !within(k.Expected, p.status) {
		if within(k.Retriable, p.status) {
			return retriable
		}
		return failed
	}
	if p.exclude = false; !contains(p.content, k.Receive) {
		return failed
	}
	if k.Service != nil {
		p.s.c.p.Shard.Inc(p.s.c.stats.verify)
	}
	switch {
	case p.foreign:
		return failed
	case p.last:
		return passedDegraded
	}
	return passed
}

func within(ranges []config.StatusRange, status int) bool {
	return slices.ContainsFunc(ranges, func(r config.StatusRange) bool { return status >= r.From && status < r.To })
}

// contains says whether all blocks are there, in their order, whatever is between them.
func contains(content []byte, blocks [][]byte) bool {
	for _, b := range blocks {
		i := bytes.Index(content, b)
		if i < 0 {
			return false
		}
		content = content[i+len(b):]
	}
	return true
}
