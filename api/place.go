package api

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Places finds where in a text the fields of its objects stand.
type Places struct{ roots []*yaml.Node }

// Position is a line and column of a text, from 1; the zero value is unknown.
type Position struct{ Line, Column int }

// PlacesOf reads a stream of YAML documents; what stands behind a mistake of YAML is not found.
func PlacesOf(data []byte) *Places {
	p := &Places{}
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var root yaml.Node
		if dec.Decode(&root) != nil {
			return p
		}
		if len(root.Content) > 0 {
			p.roots = append(p.roots, root.Content[0])
		}
	}
}

// Find gives the place of a field of the object whose document begins on a line, or of the nearest field around it that is there.
func (p *Places) Find(line int, ref Ref, field string) Position {
	i := slices.IndexFunc(p.roots, func(n *yaml.Node) bool { return n.Line == line })
	if i < 0 {
		return Position{}
	}
	node := item(p.roots[i], ref)
	at := Position{node.Line, node.Column}
	for _, step := range steps(field) {
		next, place := child(node, step)
		if next == nil {
			break
		}
		node, at = next, place
	}
	return at
}

// item is the object within a list of them, or the document itself.
func item(root *yaml.Node, ref Ref) *yaml.Node {
	items, _ := child(root, "items")
	if kind, _ := child(root, "kind"); items == nil || kind == nil || !strings.HasSuffix(kind.Value, "List") {
		return root
	}
	for _, n := range items.Content {
		kind, _ := child(n, "kind")
		meta, _ := child(n, "metadata")
		if kind == nil || meta == nil || kind.Value != ref.Kind {
			continue
		}
		namespace := Namespace("default")
		if ns, _ := child(meta, "namespace"); ns != nil {
			namespace = Namespace(ns.Value)
		}
		if name, _ := child(meta, "name"); name != nil && name.Value == ref.Name && (ref.Namespace == "" || ref.Namespace == namespace) {
			return n
		}
	}
	return root
}

// steps takes a path such as spec.http[0].headers["a.b"].exact apart.
func steps(field string) (out []string) {
	for field != "" {
		switch {
		case strings.HasPrefix(field, `["`):
			quoted, err := strconv.QuotedPrefix(field[1:])
			if err != nil {
				return out
			}
			key, _ := strconv.Unquote(quoted)
			out = append(out, key)
			field = strings.TrimPrefix(field[1+len(quoted):], "]")
		case field[0] == '[':
			index, rest, _ := strings.Cut(field[1:], "]")
			out = append(out, index)
			field = rest
		default:
			field = strings.TrimPrefix(field, ".")
			end := strings.IndexAny(field, ".[")
			if end < 0 {
				end = len(field)
			}
			if end == 0 {
				return out
			}
			out = append(out, field[:end])
			field = field[end:]
		}
	}
	return out
}

// child gives a value by key or index, and the place where it is named.
func child(n *yaml.Node, step string) (*yaml.Node, Position) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1], Position{n.Content[i].Line, n.Content[i].Column}
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i], Position{n.Content[i].Line, n.Content[i].Column}
		}
	}
	return nil, Position{}
}
