package route

import (
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/mesh"
)

// share is a rule for some of the requests that a rule is for: those that a match takes after the shares before it.
type share struct {
	rule         *mesh.HTTPRule
	before, upTo uint64 // the sums of the shares before it and with it, of a million
	cookie       string // that requests must have, "" for any
}

const million = 1_000_000

// shares parts a rule whose backends do not have all done alike to their requests, or, for proxies that keep sessions, must be found again.
func shares(rule *mesh.HTTPRule, sessions bool) []share {
	sessions = sessions && parted(rule)
	if !sessions && !slices.ContainsFunc(rule.Backends, func(b mesh.Backend) bool { return !b.Own.IsZero() && b.Weight > 0 }) {
		return []share{{rule: rule, upTo: million}}
	}
	total, sum, before := uint64(0), uint64(0), uint64(0)
	for _, b := range rule.Backends {
		total += uint64(b.Weight)
	}
	var out []share
	if sessions {
		out = kept(rule)
	}
	for i := range rule.Backends {
		if b := &rule.Backends[i]; b.Weight > 0 {
			sum += uint64(b.Weight)
			upTo := (sum*million + total/2) / total
			s := share{rule: own(rule, b), before: before, upTo: upTo}
			if sessions {
				s.rule.Session = sessionAt(rule.Session, b)
			}
			out = append(out, s)
			before = upTo
		}
	}
	return out
}

// own is a rule with one backend and what is done to that one's requests.
func own(rule *mesh.HTTPRule, b *mesh.Backend) *mesh.HTTPRule {
	r := *rule
	alone := *b
	alone.Own = nil
	r.Backends = []mesh.Backend{alone}
	if b.Own == nil || b.Invalid != "" { // what leads nowhere fails, whatever else is to be done
		return &r
	}
	if x := b.Own.Redirect; x != nil {
		r.Redirect, r.CORS = x, nil
		r.Headers = joined(r.Headers, b.Headers)
	}
	if b.Own.Rewrite != nil {
		r.Rewrite = b.Own.Rewrite
	}
	if b.Own.CORS != nil {
		r.CORS = b.Own.CORS
	}
	r.Mirrors, r.Auth = slices.Concat(r.Mirrors, b.Own.Mirrors), slices.Concat(r.Auth, b.Own.Auth)
	return &r
}

func joined(a, b mesh.HeaderEdits) mesh.HeaderEdits {
	edit := func(a, b mesh.HeaderEdit) mesh.HeaderEdit {
		return mesh.HeaderEdit{Set: slices.Concat(a.Set, b.Set), Add: slices.Concat(a.Add, b.Add), Remove: slices.Concat(a.Remove, b.Remove)}
	}
	return mesh.HeaderEdits{Request: edit(a.Request, b.Request), Response: edit(a.Response, b.Response)}
}

// fraction is Envoy's form of it; nil is all. A proxy compares one random number of the request with the fraction of each route, so each says the sum of the shares up to its
// own; a gRPC client draws a number for each, so each says its part of what the routes before it leave.
func (s share) fraction(client bool) *corev3.RuntimeFractionalPercent {
	if s.upTo >= million {
		return nil
	}
	n := s.upTo
	if client {
		n = (s.upTo - s.before) * million / (million - s.before)
	}
	return &corev3.RuntimeFractionalPercent{DefaultValue: filter.Million(uint32(n))}
}
