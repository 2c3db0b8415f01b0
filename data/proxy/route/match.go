package route

import (
	"bytes"
	"strconv"
	"strings"
	"unsafe"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/http1"
)

const million = 1_000_000

// Matches says whether a request meets all of a RouteMatch.
func Matches(m *config.RouteMatch, r *Request) bool {
	path, query := split(r.Path)
	if !matchPath(m, r, path) {
		return false
	}
	for i := range m.Headers {
		if !Header(&m.Headers[i], r) {
			return false
		}
	}
	for i := range m.Query {
		if !matchQuery(&m.Query[i], query) {
			return false
		}
	}
	if m.GRPC && !codec.IsGRPC(http1.Get(r.Fields, "content-type")) {
		return false
	}
	return !m.HasShare || uint32(r.Random%million) < m.Share
}

// split parts a path from its query; a fragment counts as neither.
func split(target []byte) (path, query []byte) {
	if i := bytes.IndexByte(target, '#'); i >= 0 {
		target = target[:i]
	}
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		return target[:i], target[i+1:]
	}
	return target, nil
}

func matchPath(m *config.RouteMatch, r *Request, path []byte) bool {
	switch m.Path {
	case config.PathExact:
		return equal(path, m.Value, m.IgnoreCase)
	case config.PathRegex:
		return m.Regex.Match(path)
	case config.PathConnect:
		return string(r.Method) == "CONNECT"
	case config.PathSeparatedPrefix:
		if !hasPrefix(path, m.Value, m.IgnoreCase) {
			return false
		}
		return len(path) == len(m.Value) || path[len(m.Value)] == '/'
	}
	return hasPrefix(path, m.Value, m.IgnoreCase)
}

func equal(b []byte, s string, fold bool) bool {
	return len(b) == len(s) && hasPrefix(b, s, fold)
}

func hasPrefix(b []byte, s string, fold bool) bool {
	if len(b) < len(s) {
		return false
	}
	if !fold {
		return string(b[:len(s)]) == s
	}
	return strings.EqualFold(text(b[:len(s)]), s)
}

// text looks at bytes as a string for the time of a comparison, without a copy.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Header matches one header; names with a colon are the request's own parts. Several fields of a name count as one, joined by commas.
func Header(m *config.HeaderMatch, r *Request) bool {
	value, ok := value(m.Name, r)
	if m.Present {
		return (ok == m.PresentValue) != m.Invert
	}
	if !ok {
		if !m.MissingIsEmpty {
			// A header that is not there matches nothing, not even an inverted rule, except that an inverted one is then true (Envoy: !match).
			return m.Invert
		}
		value = nil
	}
	return matchHeaderValue(m, value) != m.Invert
}

// HeaderEach is Header for decisions on access, where one value must not hide behind another of the same name (CVE-2026-26308): with liberal one matching value is enough,
// or all of them together; without it each of them must match, and all of them together.
func HeaderEach(m *config.HeaderMatch, r *Request, liberal bool) bool {
	whole := Header(m, r)
	if m.Present || whole == liberal {
		return whole
	}
	for i := range r.Fields {
		if !http1.Is(r.Fields[i].Name, m.Name) {
			continue
		}
		if one := matchHeaderValue(m, r.Fields[i].Value) != m.Invert; one == liberal {
			return liberal
		}
	}
	return whole
}

func matchHeaderValue(m *config.HeaderMatch, v []byte) bool {
	if m.Range {
		n, err := strconv.ParseInt(text(v), 10, 64)
		return err == nil && m.From <= n && n < m.To
	}
	return m.String == nil || String(m.String, v)
}

func value(name string, r *Request) ([]byte, bool) {
	if name != "" && name[0] == ':' {
		switch name {
		case ":method":
			return r.Method, true
		case ":authority":
			return r.Host, true
		case ":path":
			return r.Path, true
		case ":scheme":
			return r.Scheme, true
		}
		return nil, false
	}
	if name == "host" {
		return r.Host, true
	}
	first, more := []byte(nil), false
	for i := range r.Fields {
		if !http1.Is(r.Fields[i].Name, name) {
			continue
		}
		if first != nil || more {
			return join(name, r), true
		}
		first, more = r.Fields[i].Value, true
	}
	return first, more
}

// join is the rare case of several fields of one name.
func join(name string, r *Request) (all []byte) {
	n := 0
	for i := range r.Fields {
		if http1.Is(r.Fields[i].Name, name) {
			if n++; n > 1 {
				all = append(all, ',')
			}
			all = append(all, r.Fields[i].Value...)
		}
	}
	return all
}

// String compares a value with a StringMatch.
func String(m *config.StringMatch, v []byte) bool {
	switch m.Kind {
	case config.Exact:
		return equal(v, m.Value, m.IgnoreCase)
	case config.Prefix:
		return hasPrefix(v, m.Value, m.IgnoreCase)
	case config.Suffix:
		return len(v) >= len(m.Value) && equal(v[len(v)-len(m.Value):], m.Value, m.IgnoreCase)
	case config.Contains:
		if m.IgnoreCase {
			return strings.Contains(strings.ToLower(text(v)), m.Value)
		}
		return bytes.Contains(v, []byte(m.Value))
	case config.Regex:
		return m.Regex.Match(v)
	}
	return false
}

// matchQuery looks for a parameter; the first of a name counts. Values are compared as they were sent, as Envoy does.
func matchQuery(m *config.QueryMatch, query []byte) bool {
	for len(query) > 0 {
		pair := query
		if i := bytes.IndexByte(query, '&'); i >= 0 {
			pair, query = query[:i], query[i+1:]
		} else {
			query = nil
		}
		name, v := pair, []byte(nil)
		if i := bytes.IndexByte(pair, '='); i >= 0 {
			name, v = pair[:i], pair[i+1:]
		}
		if string(name) == m.Name {
			return m.Present || m.String == nil || String(m.String, v)
		}
	}
	return false
}
