package istio

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
)

// rivals tells of objects of which only the oldest of each key counts; an object without a key has no rival. list comes with the oldest first.
// The work grows with the number of keys, not with that of pairs of objects.
func rivals[T any](list []T, keys func(T) []string, origin func(T) mesh.Ref, field, what, hint, lost string) (out []mesh.Problem) {
	groups := map[string]firstTwo{}
	each := make([][]string, len(list))
	for i, x := range list {
		each[i] = keys(x)
		for _, key := range each[i] {
			f := groups[key]
			f.add(i)
			groups[key] = f
		}
	}
	for i, x := range list {
		j := -1
		for _, key := range each[i] {
			j = lower(j, groups[key].besides(i))
		}
		if j < 0 {
			continue
		}
		p := mesh.Problem{Object: origin(x), Field: field, Code: mesh.CodeConflict, Hint: hint,
			Message: fmt.Sprintf("%s %s too, and this object is older, so this one counts", origin(list[j]), what)}
		if j < i {
			p.Message = fmt.Sprintf("%s %s too and is older, so %s no effect", origin(list[j]), what, lost)
		}
		out = append(out, p)
	}
	return out
}

// firstTwo are the two lowest of some indices, each plus one; zero is none. One of them is not the one that asks.
type firstTwo [2]int

// add takes the next index; they come in order, and one may come again.
func (f *firstTwo) add(i int) {
	switch i++; {
	case f[0] == 0:
		f[0] = i
	case f[1] == 0 && f[0] != i:
		f[1] = i
	}
}

// besides is the lowest index that is not i, or -1.
func (f firstTwo) besides(i int) int {
	if f[0] == i+1 {
		return f[1] - 1
	}
	return f[0] - 1
}

// lower is the lower of two indices of which each may be -1, none.
func lower(a, b int) int {
	if a < 0 || b >= 0 && b < a {
		return b
	}
	return a
}

// labelKey writes a selector so that equal ones have the same text; one without labels is none.
func labelKey(labels mesh.Labels) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(&b, "%q=%q,", k, labels[k])
	}
	return b.String()
}
