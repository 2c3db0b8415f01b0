package extauthz

import (
	"strings"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
)

// toRemove names fields of the request that a server wants to be left out (Envoy, "x-envoy-auth-headers-to-remove").
var toRemove = codec.MakeName("x-envoy-auth-headers-to-remove")

var authorization = codec.MakeName("authorization")

// partial tells that the server is told a whole body, not the beginning of one.
var partial = codec.MakeName("x-envoy-auth-partial-body")

// byHTTP asks with the request's own method, host and path.
func byHTTP(x *stream.Exchange, c *config.ExtAuthz, body []byte) *stream.Question {
	q := &stream.Question{Cluster: c.Cluster, Limit: c.Timeout, Body: append([]byte(nil), body...)}
	h, from := &q.Head, &x.Request
	h.Reset()
	h.Minor = 1
	h.SetMethod(from.Method())
	h.SetPath(append([]byte(c.Prefix), from.Path()...))
	h.SetAuthority(from.Authority())
	h.SetScheme(string(from.Scheme()))
	for i := range from.Slots() {
		name, value, ok := from.At(i)
		if ok && !pinned(string(name)) && (string(name) == authorization.String() || listed(c.Headers, name)) {
			h.AddRaw(name, value)
		}
	}
	h.SetString(codec.EnvoyInternal, "true")
	if c.Timeout > 0 {
		h.SetInt(codec.EnvoyExpectedTimeout, c.Timeout.Milliseconds())
	}
	if len(body) > 0 {
		h.SetString(partial, "false")
	}
	h.SetInt(codec.ContentLength, int64(len(q.Body)))
	h.Length = int64(len(q.Body))
	return q
}

// readHTTP takes 200 for permission, an error of the server for no decision, and all else for the answer to the client.
func readHTTP(c *config.ExtAuthz, a *stream.Answer) (d decision) {
	switch h := &a.Head; {
	case a.Failure != "":
		d.failure = a.Failure
	case h.Status >= 500 || h.Status < 200:
		d.failure = "server_error"
	case h.Status == 200:
		d.allowed = true
		if v, ok := h.Value(toRemove); ok {
			for name := range strings.SplitSeq(string(v), ",") {
				d.remove = append(d.remove, strings.ToLower(strings.TrimSpace(name)))
			}
		}
		d.request = fields(h, func(name []byte) bool { return listed(c.Upstream, name) })
	default:
		d.status, d.body = h.Status, string(a.Body)
		d.response = fields(h, func(name []byte) bool { return c.Client == nil || always(string(name)) || listed(c.Client, name) })
	}
	return d
}

// always are names that a client gets wherever it gets any.
func always(name string) bool { return name == "www-authenticate" || name == "location" }

// fields are those of an answer that are wanted; the first of a name takes the place of what is there.
func fields(h *codec.Head, wanted func([]byte) bool) (out []edit) {
	seen := map[string]bool{}
	for i := range h.Slots() {
		name, value, ok := h.At(i)
		if !ok || string(name) == toRemove.String() || !wanted(name) {
			continue
		}
		e := edit{name: string(name), value: string(value)}
		if seen[e.name] {
			e.how = add
		}
		seen[e.name] = true
		out = append(out, e)
	}
	return out
}
