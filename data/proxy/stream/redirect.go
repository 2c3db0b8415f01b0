package stream

import (
	"bytes"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// redirect answers with another place (RedirectAction).
func (x *Exchange) redirect(r *config.Redirect) {
	code := r.Code
	if code == 0 {
		code = 301
	}
	location := x.location(r)
	x.reply(code, "", "direct_response", func(h *codec.Head) {
		h.Set(codec.Location, location)
		x.routeResponse(h)
	})
}

func (x *Exchange) location(r *config.Redirect) []byte {
	h := &x.Request
	scheme := string(h.Scheme())
	switch {
	case r.HTTPS:
		scheme = "https"
	case r.Scheme != "":
		scheme = r.Scheme
	}
	out := append([]byte(scheme), "://"...)
	host := h.Authority()
	name, port := splitHost(host)
	switch {
	case r.Host != "" && r.Port != 0:
		out = append(append(append(out, r.Host...), ':'), portText(r.Port)...)
	case r.Host != "":
		out = append(out, r.Host...)
	case r.Port != 0:
		out = append(append(append(out, name...), ':'), portText(r.Port)...)
	case scheme != string(h.Scheme()) && (port == "80" && string(h.Scheme()) == "http" || port == "443" && string(h.Scheme()) == "https"):
		out = append(out, name...) // the default port of the old scheme means nothing to the new one
	default:
		out = append(out, host...)
	}
	return append(out, x.newPath(r)...)
}

// splitHost parts a host from its port.
func splitHost(host []byte) (name []byte, port string) {
	if i := bytes.LastIndexByte(host, ':'); i >= 0 && bytes.IndexByte(host[i:], ']') < 0 {
		return host[:i], string(host[i+1:])
	}
	return host, ""
}

func (x *Exchange) newPath(r *config.Redirect) []byte {
	p := x.Request.Path()
	path, query := p, []byte(nil)
	if i := bytes.IndexByte(p, '?'); i >= 0 {
		path, query = p[:i], p[i:]
	}
	if r.StripQuery {
		query = nil
	}
	switch {
	case r.Path != "":
		path = []byte(r.Path)
		if bytes.IndexByte(path, '?') >= 0 {
			query = nil // the redirect's own query goes before that of the request
		}
	case r.PrefixRewrite != nil && x.route != nil:
		path = rewritePrefix(path, *r.PrefixRewrite, &x.route.Match)
	case r.RegexRewrite != nil:
		path = rewriteRegex(path, r.RegexRewrite)
	}
	if len(path) == 0 || path[0] != '/' {
		path = append([]byte{'/'}, path...)
	}
	return append(append([]byte(nil), path...), query...)
}

// rewritePrefix replaces what the route's match took of the path (prefix_rewrite).
func rewritePrefix(path []byte, to string, m *config.RouteMatch) []byte {
	taken := len(m.Value)
	switch m.Path {
	case config.PathRegex, config.PathConnect:
		taken = len(path)
	}
	return append([]byte(to), path[min(taken, len(path)):]...)
}

// rewriteRegex replaces every match of the pattern (regex_rewrite).
func rewriteRegex(path []byte, r *config.RegexRewrite) []byte {
	return r.Regex.ReplaceAll(path, expand(r.Substitution))
}

// expand translates \1 and \\ to Go's ${1} and backslash, and takes the meaning from dollar signs.
func expand(s string) []byte {
	var out []byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '$':
			out = append(out, "$$"...)
		case c == '\\' && i+1 < len(s):
			i++
			if d := s[i]; d >= '0' && d <= '9' {
				out = append(out, '$', '{', d, '}')
			} else {
				out = append(out, d)
			}
		default:
			out = append(out, c)
		}
	}
	return out
}

// rewritePath applies the route's rewrites to the request; the query stays.
func (x *Exchange) rewritePath(f *config.Forward) {
	if f.PrefixRewrite == nil && f.RegexRewrite == nil {
		return
	}
	h := &x.Request
	p := h.Path()
	path, query := p, []byte(nil)
	if i := bytes.IndexByte(p, '?'); i >= 0 {
		path, query = p[:i], p[i:]
	}
	var next []byte
	if f.PrefixRewrite != nil {
		next = rewritePrefix(path, *f.PrefixRewrite, &x.route.Match)
	} else {
		next = rewriteRegex(path, f.RegexRewrite)
	}
	if !x.m.Config.SuppressEnvoy && !h.Has(codec.EnvoyOriginalPath) {
		h.Set(codec.EnvoyOriginalPath, p)
	}
	h.SetPath(append(next, query...))
}
