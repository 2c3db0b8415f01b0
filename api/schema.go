package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// finding is one disagreement between a document and the schema of its kind.
type finding struct {
	path    string
	unknown bool
	rule    bool // the value has the right type and breaks a rule: the document can be read
	message string
	hint    string
}

// findings collects disagreements; after a hundred of types, or of rules, the rest tells nothing new.
type findings struct {
	list  []finding
	rules int
}

func (f *findings) add(x finding) {
	switch {
	case x.rule && f.rules < 100:
		f.rules++
		f.list = append(f.list, x)
	case !x.rule && len(f.list)-f.rules < 100:
		f.list = append(f.list, x)
	}
}

func (f *findings) wrong(path, format string, args ...any) {
	f.add(finding{path: path, message: fmt.Sprintf(format, args...)})
}

func (f *findings) unknown(path, name string, known []string) {
	x := finding{path: path, unknown: true, message: fmt.Sprintf("there is no field %q here", name)}
	if near := nearest(name, known); near != "" {
		x.hint = fmt.Sprintf("did you mean %q?", near)
	} else if len(known) > 0 && len(known) <= 12 {
		x.hint = "known fields are " + strings.Join(known, ", ")
	}
	f.add(x)
}

// sortedKeys makes the order of findings the same every time.
func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

// join appends a field name to a path.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// typeName is how a JSON value is called in a sentence.
func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64, float64, int, int32:
		return "a number"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("%T", v)
}

// nearest is the known name that a typing mistake most likely meant, or "".
func nearest(name string, known []string) string {
	best, limit := "", min(max(2, len(name)/3), len(name)-1)+1
	for _, k := range known {
		if strings.EqualFold(k, name) {
			return k
		}
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < limit {
			best, limit = k, d
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
