package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Limits of one document: deeper or larger ones (an alias bomb) are refused.
const (
	maxDepth = 64
	maxNodes = 1 << 20
)

var errTwice = errors.New("given twice")

// document is one YAML document as plain JSON values, with the line on which it starts.
type document struct {
	fields map[string]any
	line   int
}

// documents splits a stream of YAML documents or a JSON document. An error names its line; the documents before it are returned. An item list (kind List)
// is taken apart by the caller.
func documents(data []byte) ([]document, error) {
	out, err := yamlDocuments(data)
	if err != nil && !errors.Is(err, errTwice) && bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		// JSON is YAML, but for tabs and surrogate pairs. YAML comes first because it tells of keys that are given twice.
		if fields, ok := jsonDocument(data); ok {
			return []document{{fields: fields, line: 1}}, nil
		}
	}
	return out, err
}

func jsonDocument(data []byte) (map[string]any, bool) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil || dec.More() {
		return nil, false
	}
	v, ok := numbers(m, 0)
	fields, isMap := v.(map[string]any)
	return fields, ok && isMap
}

// numbers turns JSON's numbers into int64 and float64.
func numbers(v any, depth int) (any, bool) {
	if depth > maxDepth {
		return nil, false
	}
	var ok bool
	switch x := v.(type) {
	case json.Number:
		if i, err := x.Int64(); err == nil {
			return i, true
		}
		f, err := x.Float64()
		return f, err == nil
	case map[string]any:
		for k, e := range x {
			if x[k], ok = numbers(e, depth+1); !ok {
				return nil, false
			}
		}
	case []any:
		for i, e := range x {
			if x[i], ok = numbers(e, depth+1); !ok {
				return nil, false
			}
		}
	}
	return v, true
}

func yamlDocuments(data []byte) ([]document, error) {
	var out []document
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var root yaml.Node
		if err := dec.Decode(&root); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return out, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if len(root.Content) == 0 || root.Content[0].Tag == "!!null" {
			continue
		}
		top := root.Content[0]
		if top.Kind != yaml.MappingNode {
			return out, fmt.Errorf("line %d: want an object with apiVersion, kind and metadata", top.Line)
		}
		budget := maxNodes
		v, err := plain(top, 0, &budget)
		if err != nil {
			return out, err
		}
		out = append(out, document{fields: v.(map[string]any), line: top.Line})
	}
}

// plain turns a node into the values that encoding/json would give, with int64 for whole numbers as Kubernetes' unstructured objects have them.
func plain(n *yaml.Node, depth int, budget *int) (any, error) {
	*budget--
	if depth > maxDepth || *budget < 0 {
		return nil, fmt.Errorf("line %d: nested too deeply or too large", n.Line)
	}
	switch n.Kind {
	case yaml.AliasNode:
		return plain(n.Alias, depth+1, budget)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			v, err := plain(c, depth+1, budget)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.MappingNode:
		return plainMap(n, depth, budget)
	case yaml.ScalarNode:
		return scalar(n)
	}
	return nil, fmt.Errorf("line %d: unexpected YAML", n.Line)
}

func plainMap(n *yaml.Node, depth int, budget *int) (any, error) {
	m := make(map[string]any, len(n.Content)/2)
	merged := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("line %d: a key must be a string", key.Line)
		}
		v, err := plain(val, depth+1, budget)
		if err != nil {
			return nil, err
		}
		if key.Tag == "!!merge" {
			if !mergeInto(m, merged, v) {
				return nil, fmt.Errorf("line %d: << wants a mapping or a list of mappings", key.Line)
			}
			continue
		}
		if _, twice := m[key.Value]; twice && !merged[key.Value] {
			return nil, fmt.Errorf("line %d: key %q is %w", key.Line, key.Value, errTwice)
		}
		delete(merged, key.Value)
		m[key.Value] = v
	}
	return m, nil
}

// mergeInto obeys YAML's merge key: keys that are already there win.
func mergeInto(m map[string]any, merged map[string]bool, v any) bool {
	sources, isList := v.([]any)
	if !isList {
		sources = []any{v}
	}
	for _, s := range sources {
		from, ok := s.(map[string]any)
		if !ok {
			return false
		}
		for k, v := range from {
			if _, there := m[k]; !there {
				m[k], merged[k] = v, true
			}
		}
	}
	return true
}

func scalar(n *yaml.Node) (any, error) {
	switch n.Tag {
	case "!!null":
		return nil, nil
	case "!!bool", "!!float":
		var v any
		if err := n.Decode(&v); err != nil {
			return nil, fmt.Errorf("line %d: %q is not a value", n.Line, n.Value)
		}
		if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			return nil, fmt.Errorf("line %d: %q is not a JSON number", n.Line, n.Value)
		}
		return v, nil
	case "!!int":
		var i int64
		if err := n.Decode(&i); err == nil {
			return i, nil
		}
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: number %q is too large", n.Line, n.Value)
		}
		return f, nil
	}
	return n.Value, nil // strings, and timestamps as they were written
}
