package api

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// rules are what a message must keep beyond the types of its fields: the constraints of the CustomResourceDefinitions, which proto files do not carry.
// Their tables, by message, are in rules_table.go; a test compares them with the definitions.
type rules struct {
	required []string          // fields that must be given
	fields   map[string][]rule // by JSON name, for a field that is given
	whole    []judge           // of several fields; they name the field, or "" for the message
}

// rule judges one given value. The zero mistake is none.
type rule func(v any) mistake

type mistake struct {
	at            string // of the wrong entry below the field, such as [1]
	message, hint string
}

func (m mistake) none() bool { return m.message == "" }

func (m mistake) below(at string) mistake {
	m.at = at + m.at
	return m
}

func bad(hint, format string, args ...any) mistake {
	return mistake{message: fmt.Sprintf(format, args...), hint: hint}
}

// checkRules judges a message whose fields, by JSON name, have the right types or have been reported; written are those that the document names otherwise.
func checkRules(f *findings, name protoreflect.FullName, m map[string]any, path string, written map[string]string) {
	r, ok := messageRules[name]
	if !ok {
		return
	}
	below := func(field string) string { return join(path, cmp.Or(written[field], field)) }
	for _, field := range r.required {
		if m[field] == nil {
			f.broken(below(field), bad("give it", "%s is missing", field))
		}
	}
	for _, key := range sortedKeys(r.fields) {
		v := m[key]
		if v == nil {
			continue
		}
		for _, judge := range r.fields[key] {
			if x := judge(v); !x.none() {
				f.broken(below(key), x)
			}
		}
	}
	for _, judge := range r.whole {
		if at, x := judge(m); !x.none() {
			p := path
			if at != "" {
				p = below(at)
			}
			f.broken(p, x)
		}
	}
}

// broken adds a finding that leaves the document readable.
func (f *findings) broken(path string, m mistake) {
	f.add(finding{path: path + m.at, rule: true, message: m.message, hint: m.hint})
}

func given(m map[string]any, field string) bool { return m[field] != nil }

func text(m map[string]any, field string) string {
	s, _ := m[field].(string)
	return s
}

// atMostOne refuses two of the fields together.
func atMostOne(fields ...string) func(map[string]any) (string, mistake) {
	return func(m map[string]any) (string, mistake) {
		var first string
		for _, name := range fields {
			switch {
			case !given(m, name):
			case first == "":
				first = name
			default:
				return name, bad("keep one of them", "only one of %s and %s may be given", first, name)
			}
		}
		return "", mistake{}
	}
}

func length(low, high int) rule {
	return func(v any) mistake {
		s, ok := v.(string)
		switch n := utf8.RuneCountInString(s); {
		case !ok:
		case n < low:
			return bad("", "it is empty")
		case high > 0 && n > high:
			return bad("", "it has %d characters; at most %d are allowed", n, high)
		}
		return mistake{}
	}
}

func items(low, high int) rule {
	return func(v any) mistake {
		var n int
		switch x := v.(type) {
		case []any:
			n = len(x)
		case map[string]any:
			n = len(x)
		default:
			return mistake{}
		}
		switch {
		case n < low:
			return bad("leave the field out, or give one", "it has no entry")
		case high > 0 && n > high:
			return bad("split the object", "it has %d entries; at most %d are allowed", n, high)
		}
		return mistake{}
	}
}

func between(low, high float64) rule {
	return func(v any) mistake {
		if n, ok := number(v); ok && (n < low || n > high) {
			return bad("", "%v is not between %v and %v", v, low, high)
		}
		return mistake{}
	}
}

func pattern(expr, meaning string) rule {
	re := regexp.MustCompile(expr)
	return func(v any) mistake {
		if s, ok := v.(string); ok && !re.MatchString(s) {
			return bad("", "%q is not %s", cut(s), meaning)
		}
		return mistake{}
	}
}

// each judges the elements of a list, or the values of a map, up to the first wrong one.
func each(judge rule) rule {
	return func(v any) mistake {
		switch x := v.(type) {
		case []any:
			for i, e := range x {
				if m := judge(e); !m.none() {
					return m.below(fmt.Sprintf("[%d]", i))
				}
			}
		case map[string]any:
			for _, k := range sortedKeys(x) {
				if m := judge(x[k]); !m.none() {
					return m.below(keyed("", k))
				}
			}
		}
		return mistake{}
	}
}

// keys judges the keys of a map.
func keys(judge func(k string) mistake) rule {
	return func(v any) mistake {
		m, _ := v.(map[string]any)
		for _, k := range sortedKeys(m) {
			if x := judge(k); !x.none() {
				return x.below(keyed("", k))
			}
		}
		return mistake{}
	}
}

// unique refuses two entries of a list with the same value of a field.
func unique(field string) rule {
	return func(v any) mistake {
		list, _ := v.([]any)
		seen := make(map[any]int, len(list))
		for i, e := range list {
			m, _ := e.(map[string]any)
			switch m[field].(type) {
			case string, int64, float64:
				if j, twice := seen[m[field]]; twice {
					return bad("", "entries %d and %d have the same %s, %v", j, i, field, m[field]).below(fmt.Sprintf("[%d].%s", i, field))
				}
				seen[m[field]] = i
			}
		}
		return mistake{}
	}
}

func oneOf(values ...string) rule {
	return func(v any) mistake {
		if s, ok := v.(string); ok && !slices.Contains(values, s) {
			return bad("", "%q is not one of %s", cut(s), strings.Join(values[1:], ", "))
		}
		return mistake{}
	}
}

// lasting refuses durations below a millisecond.
func lasting(v any) mistake {
	s, _ := v.(string)
	if d, err := time.ParseDuration(s); err == nil && d < time.Millisecond {
		return bad("leave the field out to have the default", "%s is too short: at least 1ms is wanted", s)
	}
	return mistake{}
}

func port(v any) mistake {
	if n, ok := number(v); ok && (n < 1 || n > 65535) {
		return bad("", "%v is not a port number", v)
	}
	return mistake{}
}

func withoutStar(v any) mistake {
	if s, ok := v.(string); ok && strings.Contains(s, "*") {
		return bad("labels are compared as they are", "%q has a wildcard, and a selector takes none", cut(s))
	}
	return mistake{}
}

func empty(hint string) rule {
	return func(v any) mistake {
		if s, ok := v.(string); ok && s != "" {
			return bad(hint, "it must be empty, not %q", cut(s))
		}
		return mistake{}
	}
}

// cut keeps a long value out of sentences.
func cut(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
