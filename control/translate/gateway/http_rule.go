package gateway

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

func (v *routeVisit) rule(r *gwv1.HTTPRouteRule, path string) mesh.HTTPRule {
	v.rules++
	base := mesh.HTTPRule{Name: string(deref(r.Name, ""))}
	before := v.unsupported
	v.unsupported = ""
	for i := range r.Filters {
		v.filter(&base, &r.Filters[i], fmt.Sprintf("%s.filters[%d]", path, i))
	}
	if base.Redirect != nil && base.Rewrite != nil {
		v.impossible(string(gwv1.RouteReasonIncompatibleFilters), path+".filters", "a rule cannot redirect and rewrite at once")
	}
	if base.Redirect != nil && base.CORS != nil {
		v.NotEnforced(path+".filters", "CORS has no effect on a rule that answers by itself, with RequestRedirect")
		base.CORS = nil
	}
	matches := v.matches(r.Matches, path)
	if replacesPrefix(r) {
		for _, m := range matches {
			if m.Path.Kind != mesh.MatchPathPrefix {
				v.impossible(string(gwv1.RouteReasonUnsupportedValue), path+".filters", "ReplacePrefixMatch needs matches by PathPrefix")
				break
			}
		}
	}
	v.backends(&base, r, path)
	v.timeouts(&base, r.Timeouts, path+".timeouts")
	v.retry(&base, r.Retry, path+".retry")
	v.session(&base, r.SessionPersistence, len(base.Backends), path+".sessionPersistence")
	v.bound(&base, len(matches), path)
	if v.unsupported != "" { // what a filter asks for may protect the backend, so the rule must not fall through to another
		v.badRules++
		base = mesh.HTTPRule{Name: base.Name, Direct: &mesh.DirectResponse{Status: 500}}
	}
	if before != "" {
		v.unsupported = before
	}
	base.Matches = matches
	return base
}

// mostRoutes bounds what a rule becomes: what the schema allows of matches and backends, twice for sessions.
const mostRoutes = 2 * 64 * 16

// bound refuses a rule that becomes more routes than that: one for each match and each backend that has filters of its own or must be found again.
func (v *routeVisit) bound(r *mesh.HTTPRule, matches int, path string) {
	n := matches
	if slices.ContainsFunc(r.Backends, func(b mesh.Backend) bool { return !b.Own.IsZero() }) {
		n = matches * len(r.Backends)
	}
	if r.Session != nil && !r.Session.Header && len(r.Backends) > 1 {
		n = 2 * matches * len(r.Backends)
	}
	if n > mostRoutes {
		v.Add(mesh.CodeInvalid, path, "part it into several rules", "the rule's matches and backends become %d routes, of which %d are possible", n, mostRoutes)
	}
}

// impossible notes that the rule cannot be honoured; it answers 500.
func (v *routeVisit) impossible(reason, field, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	v.NotEnforced(field, "%s, so the rule answers %s", message, v.failure())
	if v.unsupported == "" {
		v.unsupported = reason
		if v.unsupportedMessage == "" {
			v.unsupportedMessage = field + ": " + message
		}
	}
}

func (v *routeVisit) matches(list []gwv1.HTTPRouteMatch, path string) []mesh.HTTPMatch {
	if len(list) == 0 {
		return []mesh.HTTPMatch{{Path: mesh.StringMatch{Kind: mesh.MatchPathPrefix, Value: "/"}}}
	}
	var out []mesh.HTTPMatch
	for i := range list {
		m, at := &list[i], fmt.Sprintf("%s.matches[%d]", path, i)
		match := mesh.HTTPMatch{Path: v.path(m.Path, at+".path")}
		if m.Method != nil {
			match.Method = mesh.StringMatch{Kind: mesh.MatchExact, Value: string(*m.Method)}
		}
		for j, h := range m.Headers {
			match.Headers = v.named(match.Headers, strings.ToLower(string(h.Name)), string(deref(h.Type, gwv1.HeaderMatchExact)), h.Value, fmt.Sprintf("%s.headers[%d]", at, j))
		}
		for j, q := range m.QueryParams {
			match.Query = v.named(match.Query, string(q.Name), string(deref(q.Type, gwv1.QueryParamMatchExact)), q.Value, fmt.Sprintf("%s.queryParams[%d]", at, j))
		}
		sortNamed(match.Headers)
		sortNamed(match.Query)
		out = append(out, match)
	}
	return out
}

func (v *routeVisit) path(p *gwv1.HTTPPathMatch, path string) mesh.StringMatch {
	m := mesh.StringMatch{Kind: mesh.MatchPathPrefix, Value: "/"}
	if p == nil {
		return m
	}
	m.Value = deref(p.Value, "/")
	switch deref(p.Type, gwv1.PathMatchPathPrefix) {
	case gwv1.PathMatchPathPrefix:
		if m.Value != "/" {
			m.Value = strings.TrimSuffix(m.Value, "/")
		}
	case gwv1.PathMatchExact:
		m.Kind = mesh.MatchExact
	case gwv1.PathMatchRegularExpression:
		m.Kind = mesh.MatchRegex
		v.regex(m.Value, path+".value")
		return m
	default:
		v.Invalid(path+".type", "%q is not a type of path match", *p.Type)
	}
	if !strings.HasPrefix(m.Value, "/") || strings.Contains(m.Value, "//") || strings.ContainsAny(m.Value, "?#") ||
		strings.Contains(m.Value, "/./") || strings.Contains(m.Value, "/../") || strings.HasSuffix(m.Value, "/..") || strings.HasSuffix(m.Value, "/.") {
		v.Invalid(path+".value", "%q is not an absolute, normalised path", m.Value)
	}
	return m
}

func (v *routeVisit) regex(s, path string) {
	v.Regexp(s, path)
}

// named adds a condition on a header or parameter; of several for one name only the first counts (HTTPHeaderMatch.name).
func (v *routeVisit) named(list []mesh.NamedMatch, name, kind, value, path string) []mesh.NamedMatch {
	for _, m := range list {
		if m.Name == name {
			v.NotEnforced(path, "there is a condition on %s already, and only the first one counts", name)
			return list
		}
	}
	if name == "" {
		v.Invalid(path+".name", "the name is missing")
	}
	m := mesh.NamedMatch{Name: name, Match: mesh.StringMatch{Kind: mesh.MatchExact, Value: value}}
	switch kind {
	case "Exact":
	case "RegularExpression":
		m.Match.Kind = mesh.MatchRegex
		v.regex(value, path+".value")
	default:
		v.Invalid(path+".type", "%q is not a type of match", kind)
	}
	return append(list, m)
}

var durationForm = regexp.MustCompile(`^([0-9]{1,5}(h|m|s|ms)){1,4}$`)

// duration reads the form of GEP-2257.
func (v *routeVisit) duration(d gwv1.Duration, path string) time.Duration {
	t, err := time.ParseDuration(string(d))
	if err != nil || !durationForm.MatchString(string(d)) {
		v.Invalid(path, "%q is not a duration such as 10s or 1m30s", d)
	}
	return t
}

func (v *routeVisit) timeouts(r *mesh.HTTPRule, t *gwv1.HTTPRouteTimeouts, path string) {
	if t == nil {
		return
	}
	if t.Request != nil {
		d := v.duration(*t.Request, path+".request")
		r.Timeout = &d
	}
	if t.BackendRequest != nil {
		d := v.duration(*t.BackendRequest, path+".backendRequest")
		r.TryTimeout = &d
		if r.Timeout != nil && *r.Timeout != 0 && (d > *r.Timeout || d == 0) {
			v.Invalid(path+".backendRequest", "%s is longer than the %s of the whole request", *t.BackendRequest, *t.Request)
		}
	}
}

func (v *routeVisit) retry(r *mesh.HTTPRule, x *gwv1.HTTPRouteRetry, path string) {
	if x == nil {
		return
	}
	// Connection errors are always tried again (HTTPRouteRetry); the codes come on top.
	p := &mesh.Retry{Attempts: 1, On: "connect-failure,refused-stream,reset-before-request"}
	if x.Attempts != nil {
		if *x.Attempts < 0 {
			v.Invalid(path+".attempts", "%d is negative", *x.Attempts)
		}
		p.Attempts = uint32(max(0, *x.Attempts))
	}
	for i, c := range x.Codes {
		if c < 400 || c > 599 {
			v.Invalid(fmt.Sprintf("%s.codes[%d]", path, i), "%d is not a status of an error", c)
			continue
		}
		p.Codes = append(p.Codes, uint32(c))
	}
	if x.Backoff != nil {
		p.BackoffBase = v.duration(*x.Backoff, path+".backoff")
	}
	r.Retry = p
}
