package rbac

import (
	"strings"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
)

// Filter guards requests.
type Filter struct {
	name   string
	config *config.RBAC
	counters
}

type counters struct{ allowed, denied, shadowAllowed, shadowDenied stats.Handle }

// newCounters names counters by the prefix of the rules, and that of the shadow rules.
func newCounters(r *stats.Registry, rules, shadow string) counters {
	one := func(prefix, n string) stats.Handle {
		if prefix = strings.Trim(prefix, "."); prefix != "" {
			prefix = "." + prefix
		}
		return r.Counter(stats.Desc{Name: "envoy_http" + strings.ReplaceAll(prefix, ".", "_") + "_rbac_" + n, Dotted: "http" + prefix + ".rbac." + n})
	}
	return counters{one(rules, "allowed"), one(rules, "denied"), one(shadow, "shadow_allowed"), one(shadow, "shadow_denied")}
}

// New makes the HTTP filter.
func New(name string, c *config.RBAC, r *stats.Registry) *Filter {
	return &Filter{name: name, config: c, counters: newCounters(r, c.Stat, c.ShadowStat)}
}

// Request implements stream.Filter.
func (f *Filter) Request(x *stream.Exchange) stream.Verdict {
	c := f.of(x)
	if c == nil {
		return stream.Continue
	}
	o := x.Origin()
	facts := Facts{Origin: o, Remote: x.RemoteIP(), Destination: o.Original.AddrPort, Header: x, Path: x.Request.PathOnly()}
	if !facts.Destination.IsValid() {
		facts.Destination = o.Local.AddrPort
	}
	shard := x.Worker().Shard
	if c.Shadow != nil {
		if v := Decide(c.Shadow, &facts); v.Allowed {
			shard.Inc(f.shadowAllowed)
		} else {
			x.Acted(stream.Act{Filter: "rbac", Did: "would deny (dry run)", By: v.Policy})
			shard.Inc(f.shadowDenied)
		}
	}
	if c.Rules == nil {
		return stream.Continue
	}
	v := Decide(c.Rules, &facts)
	switch {
	case v.Policy != "" && v.Allowed:
		x.Decided(v.Policy)
		x.Acted(stream.Act{Filter: "rbac", Did: "allowed", By: v.Policy})
	case v.Policy != "":
		x.Decided(v.Policy)
	}
	if v.Allowed {
		shard.Inc(f.allowed)
		return stream.Continue
	}
	shard.Inc(f.denied)
	x.Acted(stream.Act{Filter: "rbac", Did: "denied", By: v.Policy, Status: 403})
	policy := v.Policy
	if policy == "" {
		policy = "none"
	}
	x.Reply(403, "RBAC: access denied", "rbac_access_denied_matched_policy["+blanks.Replace(policy)+"]")
	return stream.Responded
}

// blanks: response code details have none.
var blanks = strings.NewReplacer(" ", "_")

// of is the most special configuration; nil where a route switches the filter off.
func (f *Filter) of(x *stream.Exchange) *config.RBAC {
	host, route := x.Route()
	weighted := x.Weighted()
	for _, p := range []*config.PerFilter{perWeighted(weighted), perRoute(route), perHost(host)} {
		switch {
		case p == nil:
		case p.RBACDisable:
			return nil
		case p.RBAC != nil:
			return p.RBAC
		}
	}
	return f.config
}

func perWeighted(w *config.WeightedCluster) *config.PerFilter {
	if w == nil {
		return nil
	}
	return &w.PerFilter
}

func perRoute(r *config.Route) *config.PerFilter {
	if r == nil {
		return nil
	}
	return &r.PerFilter
}

func perHost(h *config.VirtualHost) *config.PerFilter {
	if h == nil {
		return nil
	}
	return &h.PerFilter
}

// Connection decides on a connection by network filters in their order; the first that denies counts. The text is Envoy's termination detail.
func Connection(list []*config.RBAC, o *loop.Origin) (v Verdict, detail string) {
	f := Facts{Origin: o, Remote: o.Remote.Addr(), Destination: o.Original.AddrPort}
	if !f.Destination.IsValid() {
		f.Destination = o.Local.AddrPort
	}
	v.Allowed = true
	for _, c := range list {
		if c.Rules == nil {
			continue
		}
		if v = Decide(c.Rules, &f); !v.Allowed {
			policy := v.Policy
			if policy == "" {
				policy = "none"
			}
			return v, "rbac_access_denied_matched_policy[" + blanks.Replace(policy) + "]"
		}
	}
	return v, ""
}
