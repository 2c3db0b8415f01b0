package ledger

import (
	"slices"
	"strings"
)

// Has says whether a document, which is what lies below spec, has what a row of its subject is about.
func (r Row) Has(document map[string]any) bool { return r.visit(document, nil) }

// Strip removes it, wherever it stands.
func (r Row) Strip(document map[string]any) {
	r.visit(document, func(m map[string]any, key string) { delete(m, key) })
}

// gone stands for what is to be taken out with what it is in.
type gone struct{}

// StripWhole removes the objects that say nothing but the row, as a whole. It says whether there are some.
func (r Row) StripWhole(document map[string]any) (some bool) {
	r.visit(document, func(m map[string]any, key string) {
		if len(m) == 1 {
			m[key], some = gone{}, true
		}
	})
	sweep(document)
	return some
}

// sweep takes out what has something that is gone.
func sweep(value any) (out bool) {
	switch v := value.(type) {
	case gone:
		return true
	case map[string]any:
		for key, x := range v {
			switch {
			case x == gone{}:
				return true
			case sweep(x):
				delete(v, key)
			default:
				if list, ok := x.([]any); ok {
					v[key] = slices.DeleteFunc(list, sweep)
				}
			}
		}
	}
	return false
}

// Alter writes something else in its place, wherever it stands: the n-th of some ways to change a value. It says whether there was such a way; rows are all that there are.
func (r Row) Alter(document map[string]any, n int, rows []Row) (changed bool) {
	elsewhere := r.elsewhere(document)
	r.visit(document, func(m map[string]any, key string) {
		ways := others(m[key], r, rows)
		if i := slices.Index(elsewhere, m[key]); len(elsewhere) > 1 && i >= 0 {
			ways = append(ways, elsewhere[(i+1)%len(elsewhere)])
		}
		if n < len(ways) {
			m[key], changed = ways[n], true
		}
	})
	return changed
}

// elsewhere are the texts that the document has in all places of the row: what is good there may be good here.
func (r Row) elsewhere(document map[string]any) (out []any) {
	r.visit(document, func(m map[string]any, key string) {
		if text, ok := m[key].(string); ok && !slices.Contains(out, any(text)) {
			out = append(out, text)
		}
	})
	slices.SortFunc(out, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	return out
}

// others are values that may stand in the place of one.
func others(value any, r Row, rows []Row) (out []any) {
	switch v := value.(type) {
	case bool:
		return []any{!v}
	case int:
		return []any{v + 1, v - 1}
	case float64:
		return []any{v + 1, v - 1}
	case string:
		if r.Value == "" {
			return []any{v + "x", "x" + v, "1" + v} // the last for times and numbers
		}
		for _, other := range rows {
			if other.Subject == r.Subject && other.Path == r.Path && other.Value != r.Value {
				out = append(out, other.Value)
			}
		}
	case []any:
		if len(v) == 0 {
			return nil
		}
		for _, x := range others(v[0], r, rows) {
			out = append(out, append([]any{x}, v[1:]...))
		}
	case map[string]any:
		more, other := map[string]any{"x": "x"}, map[string]any{} // another entry, and other names for all
		for key, x := range v {
			more[key], other[key+"x"] = x, x
		}
		out = append(out, more, other)
	}
	return out
}

// visit calls found (which may be nil) for every place where the document has the row, and says whether there is one.
func (r Row) visit(document map[string]any, found func(m map[string]any, key string)) bool {
	if r.Subject == Annotations || r.Subject == Labels {
		if _, ok := document[r.Path]; !ok {
			return false
		}
		if found != nil {
			found(document, r.Path)
		}
		return true
	}
	return r.walk(document, strings.Split(r.Path, "."), found)
}

func (r Row) walk(m map[string]any, steps []string, found func(map[string]any, string)) (any bool) {
	name := strings.TrimSuffix(strings.TrimSuffix(steps[0], "[]"), "{}")
	for key, value := range m {
		if key != name && lowerCamel(key) != name {
			continue
		}
		if len(steps) == 1 {
			if r.is(value) {
				any = true
				if found != nil {
					found(m, key)
				}
			}
			continue
		}
		for _, child := range children(steps[0], value) {
			any = r.walk(child, steps[1:], found) || any
		}
	}
	return any
}

// is says whether a value is the row's: of an enumeration the named one, of anything else any.
func (r Row) is(value any) bool {
	switch v := value.(type) {
	case nil:
		return false
	case []any:
		if r.Value == "" {
			return len(v) > 0
		}
		for _, x := range v {
			if x == r.Value {
				return true
			}
		}
		return false
	}
	return r.Value == "" || value == r.Value
}

// children are the objects below a field whose step says what it is.
func children(step string, value any) (out []map[string]any) {
	add := func(v any) {
		if m, ok := v.(map[string]any); ok {
			out = append(out, m)
		}
	}
	switch v := value.(type) {
	case []any:
		for _, x := range v {
			add(x)
		}
	case map[string]any:
		if !strings.HasSuffix(step, "{}") {
			return []map[string]any{v}
		}
		for _, x := range v {
			add(x)
		}
	}
	return out
}

// lowerCamel is the JSON name of a field that is written in its proto name.
func lowerCamel(name string) string {
	if !strings.Contains(name, "_") {
		return name
	}
	out, up := []byte{}, false
	for _, c := range []byte(name) {
		switch {
		case c == '_':
			up = true
		case up && c >= 'a' && c <= 'z':
			out, up = append(out, c-'a'+'A'), false
		default:
			out, up = append(out, c), false
		}
	}
	return string(out)
}
