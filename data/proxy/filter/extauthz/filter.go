// Package extauthz asks servers about requests, and lets those through that they allow (envoy.extensions.filters.http.ext_authz.v3.ExtAuthz).
//
// In: an exchange, and who is to be asked about it, by HTTP or by gRPC. Out: the exchange with what the servers have changed, or a local reply with the flag UAEX. A server that
// does not decide denies, unless its configuration says otherwise. Safe for concurrent use.
package extauthz

import (
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
)

// Filter asks about requests.
type Filter struct {
	own               []*config.ExtAuthz // nil: those that routes name
	ok, denied, error stats.Handle
}

// New makes the filter that asks one server about all requests, or, without one, those that routes name.
func New(c *config.ExtAuthz, r *stats.Registry) *Filter {
	counter := func(n string) stats.Handle {
		return r.Counter(stats.Desc{Name: "envoy_http_ext_authz_" + n, Dotted: "http.ext_authz." + n})
	}
	f := &Filter{ok: counter("ok"), denied: counter("denied"), error: counter("error")}
	if c != nil {
		f.own = []*config.ExtAuthz{c}
	}
	return f
}

// of are the servers to ask about a request: those of the most special place that names any.
func (f *Filter) of(x *stream.Exchange) []*config.ExtAuthz {
	if f.own != nil {
		return f.own
	}
	if w := x.Weighted(); w != nil && w.PerFilter.Checks != nil {
		return w.PerFilter.Checks
	}
	host, route := x.Route()
	switch {
	case route != nil && route.PerFilter.Checks != nil:
		return route.PerFilter.Checks
	case host != nil:
		return host.PerFilter.Checks
	}
	return nil
}

// Request implements stream.Filter.
func (f *Filter) Request(x *stream.Exchange) stream.Verdict {
	list := f.of(x)
	if len(list) == 0 {
		return stream.Continue
	}
	c := &check{f: f, x: x, list: list}
	c.next()
	if c.replied {
		return stream.Responded
	}
	return stream.Wait
}

// Response implements stream.ResponseFilter: what servers that allowed add to the answer.
func (f *Filter) Response(x *stream.Exchange) {
	if c, ok := x.Noted(f).(*check); ok {
		for i := range c.response {
			c.response[i].apply(&x.Response.Fields)
		}
	}
}

// check is one request on its way through the servers that are asked about it, one after the other.
type check struct {
	f        *Filter
	x        *stream.Exchange
	list     []*config.ExtAuthz
	replied  bool
	asked    loop.Time // when the latest question began
	response []edit
}

// next asks the next server, or lets the request go on. It never resumes the exchange before its filter has returned: the first one is asked from there.
func (c *check) next() {
	if len(c.list) == 0 {
		c.x.Resume()
		return
	}
	of := c.list[0]
	c.list = c.list[1:]
	if of.Body == 0 || c.x.Request.Upgrade {
		c.ask(of, nil)
		return
	}
	c.x.Collect(int(of.Body), func(body []byte, whole bool) {
		if !whole {
			c.replied = true
			c.x.Reply(413, "Payload Too Large", "request_payload_too_large")
			return
		}
		c.ask(of, body)
	})
}

func (c *check) ask(of *config.ExtAuthz, body []byte) {
	q, read := byHTTP(c.x, of, body), readHTTP
	if of.GRPC {
		q, read = byGRPC(c.x, of, body), readGRPC
	}
	c.asked = c.x.Worker().Loop.Now()
	if q == nil {
		c.replied = true
		c.x.Reply(of.StatusOnError, "", "ext_authz_error")
		return
	}
	c.x.Ask(q, func(a *stream.Answer) { c.decide(of, read(of, a)) })
}

// decision is what a server has decided.
type decision struct {
	failure  string // it has not
	allowed  bool
	request  []edit
	response []edit
	remove   []string
	// Of a request that is denied.
	status int
	body   string
}

func (c *check) decide(of *config.ExtAuthz, d decision) {
	x, shard := c.x, c.x.Worker().Shard
	act := stream.Act{Filter: "ext_authz", Did: "allowed", By: of.Cluster, Took: x.Worker().Loop.Now().Sub(c.asked)}
	switch {
	case d.failure != "" && of.FailOpen:
		act.Did = "let through without a decision: " + d.failure
	case d.failure != "":
		act.Did, act.Status = "denied without a decision: "+d.failure, of.StatusOnError
	case !d.allowed:
		act.Did, act.Status = "denied", d.status
	}
	x.Acted(act)
	switch {
	case d.failure != "" && of.FailOpen:
		shard.Inc(c.f.error)
		c.next()
	case d.failure != "":
		shard.Inc(c.f.error)
		x.Flag(codec.FlagUnauthorizedExternalService)
		x.Reply(of.StatusOnError, "", "ext_authz_error")
	case !d.allowed:
		shard.Inc(c.f.denied)
		x.Flag(codec.FlagUnauthorizedExternalService)
		x.ReplyWith(d.status, d.body, "ext_authz_denied", func(h *codec.Head) {
			for _, e := range d.response { // what the server says takes the place of what the proxy would
				h.Del(codec.MakeName(e.name))
			}
			for i := range d.response {
				d.response[i].how = add
				d.response[i].apply(&h.Fields)
			}
		})
	default:
		shard.Inc(c.f.ok)
		for _, name := range d.remove {
			if !pinned(name) {
				x.Request.Del(codec.MakeName(name))
			}
		}
		for i := range d.request {
			d.request[i].apply(&x.Request.Fields)
		}
		if len(c.response) == 0 && len(d.response) > 0 {
			x.Note(c.f, c)
		}
		c.response = append(c.response, d.response...)
		c.next()
	}
}
