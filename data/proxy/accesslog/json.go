package accesslog

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// node is a value of a JSON format: an object, a list, a constant, or a string with operators.
type node struct {
	keys     []string // of an object, encoded with quotes and colon
	children []*node
	list     bool
	constant []byte
	parts    []part
	single   *operator
	omit     bool // empty values are left out
}

// JSON compiles a format that is an object: its strings may hold operators. A string that is one operator keeps the operator's type (a number, or null for an
// absent value); others become strings with "-" for what is absent. Keys are written in order. omitEmpty leaves absent values out, also within strings.
func JSON(format map[string]any, omitEmpty bool) (*Format, error) {
	root, err := object(format, omitEmpty)
	if err != nil {
		return nil, fmt.Errorf("access log format: %w", err)
	}
	return &Format{root: root}, nil
}

func object(m map[string]any, omit bool) (*node, error) {
	n := &node{keys: []string{}, omit: omit}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		child, err := value(m[k], omit)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		quoted, err := json.Marshal(k)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		n.keys, n.children = append(n.keys, string(quoted)+":"), append(n.children, child)
	}
	return n, nil
}

func value(v any, omit bool) (*node, error) {
	switch v := v.(type) {
	case map[string]any:
		return object(v, omit)
	case []any:
		n := &node{list: true, omit: omit}
		for i, e := range v {
			child, err := value(e, omit)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			n.children = append(n.children, child)
		}
		return n, nil
	case string:
		parts, err := parseParts(v)
		if err != nil {
			return nil, err
		}
		n := &node{parts: parts, omit: omit}
		if len(parts) == 1 && parts[0].write != nil {
			n.single = &parts[0].operator
		}
		return n, nil
	}
	constant, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return &node{constant: constant}, nil
}

// append writes the value; ok is false when it is an absent operator's null, or a container of nothing.
func (n *node) append(b []byte, r *Record) (out []byte, ok bool) {
	switch {
	case n.keys != nil:
		return n.appendMembers(b, r, '{', '}')
	case n.list:
		return n.appendMembers(b, r, '[', ']')
	case n.constant != nil:
		return append(b, n.constant...), true
	case n.single != nil:
		return n.single.appendJSON(b, r)
	}
	start, absent := len(b), absence
	if n.omit {
		absent = ""
	}
	b = appendParts(append(b, '"'), n.parts, r, absent)
	return append(fixJSON(b, start+1), '"'), true
}

// appendMembers writes an object or a list; ok is false for an object of which all is left out. A list stays, as Envoy has it.
func (n *node) appendMembers(b []byte, r *Record, open, end byte) (out []byte, ok bool) {
	b = append(b, open)
	first := true
	for i, c := range n.children {
		before := len(b)
		if !first {
			b = append(b, ',')
		}
		if !n.list {
			b = append(b, n.keys[i]...)
		}
		var ok bool
		if b, ok = c.append(b, r); !ok && n.omit {
			b = b[:before]
			continue
		}
		first = false
	}
	return append(b, end), n.list || !first || !n.omit
}

func (o *operator) appendJSON(b []byte, r *Record) ([]byte, bool) {
	start := len(b)
	if !o.number {
		b = append(b, '"')
	}
	b, ok := o.appendValue(b, r)
	if !ok {
		return append(b[:start], "null"...), false
	}
	if o.number {
		return b, true
	}
	return append(fixJSON(b, start+1), '"'), true
}

// fixJSON turns our escapes into JSON's in place: \xHH becomes \u00HH, quotes and backslashes are escaped already; literals of the format are escaped here.
func fixJSON(b []byte, from int) []byte {
	for i := from; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\\' && i+3 < len(b) && b[i+1] == 'x':
			b = append(b, 0, 0)
			copy(b[i+4:], b[i+2:])
			copy(b[i:], `\u00`)
			i += 5
		case c == '\\' && i+1 < len(b) && (b[i+1] == '"' || b[i+1] == '\\'):
			i++
		case c == '"' || c == '\\':
			b = append(b, 0)
			copy(b[i+1:], b[i:])
			b[i] = '\\'
			i++
		case c < ' ':
			b = append(b, 0, 0, 0, 0, 0)
			copy(b[i+6:], b[i+1:])
			copy(b[i:], []byte{'\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15]})
			i += 5
		}
	}
	return b
}
