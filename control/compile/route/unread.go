package route

import (
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
)

// What gRPC does at most: five attempts of one call (gRFC A6).
const mostRetries = 4

// unread tells the author of a rule which of its fields clients of gRPC without a proxy do not read.
func (p place) unread(c candidate) {
	r := c.rule
	if c.origin == (mesh.Ref{}) {
		return
	}
	tell := func(when bool, istio, gateway, message string) {
		field := "spec.http." + istio
		if c.origin.Group == gatewayGroup {
			field = "spec.rules." + gateway
		}
		if when {
			p.v.Notice(mesh.Problem{
				Object: c.origin, Field: field, Code: mesh.CodeNotEnforced, Message: "connected gRPC clients without a proxy " + message,
				Hint: "leave it out, or give these clients a sidecar",
			})
		}
	}
	edits := func(b mesh.Backend) bool { return !b.Headers.Request.IsZero() || !b.Headers.Response.IsZero() }
	tell(len(r.Mirrors) > 0, "mirrors", "filters", "send no copies of calls")
	tell(r.CORS != nil, "corsPolicy", "filters", "are no browsers: nothing is decided about origins")
	tell(!r.Headers.Request.IsZero() || !r.Headers.Response.IsZero(), "headers", "filters", "change no metadata of calls")
	tell(slices.ContainsFunc(r.Backends, edits), "route.headers", "backendRefs.filters", "change no metadata of calls")
	tell(r.Rewrite != nil, "rewrite", "filters", "call the method and authority that the application names")
	tell(r.Redirect != nil, "redirect", "filters", "follow no redirects: calls end with the status UNKNOWN")
	tell(r.Direct != nil && len(r.Direct.Body) > 0, "directResponse.body", "filters", "end calls with the status that gRPC has for the HTTP status, without the body")
	tell(r.Session != nil, "", "sessionPersistence", "keep no sessions")
	tell(r.TryTimeout != nil, "retries.perTryTimeout", "timeouts.backendRequest", "bound the call, not each attempt (gRFC A44)")
	if c.match != nil {
		without := 0
		for _, h := range c.match.Headers {
			if h.Without && h.Match.Kind != mesh.MatchPresent {
				without++
			}
		}
		tell(without > mostAbsences, "match.withoutHeaders", "matches.headers", "match only calls that have the fifth and later ones of these headers")
	}
	if r.Fault != nil || r.Direct != nil || r.Redirect != nil {
		tell(!p.v.Can(mesh.FeatureFault), "fault", "filters", "are too old to inject faults and answers; upgrade them to 1.37 (Node.js: 1.4)")
	}
	if in := r.Retry; in != nil && in.Attempts > 0 {
		words := slices.DeleteFunc(strings.Split(in.On, ","), func(w string) bool { return w == "" || slices.Contains(clientWords, w) })
		tell(!p.v.Can(mesh.FeatureRetry), "retries", "retry", "are too old to retry; upgrade them to 1.41 (Node.js: 1.8)")
		tell(len(words) > 0, "retries.retryOn", "retry", "retry on the statuses "+strings.Join(clientWords, ", ")+", not on "+strings.Join(words, ", "))
		tell(len(in.Codes) > 0, "retries.retryOn", "retry.codes", "see no HTTP statuses to retry on; name statuses of gRPC: "+strings.Join(clientWords, ", "))
		tell(in.Attempts > mostRetries, "retries.attempts", "retry.attempts", "make at most five attempts of one call")
		tell(in.PerTryTimeout > 0, "retries.perTryTimeout", "retry", "bound the call, not each attempt (gRFC A44)")
		tell(in.RemoteLocalities != nil && *in.RemoteLocalities, "retries.retryRemoteLocalities", "retry", "retry where their balancer leads them")
		tell(in.IgnorePreviousHosts != nil, "retries.retryIgnorePreviousHosts", "retry", "retry where their balancer leads them")
	}
}
