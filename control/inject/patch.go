package inject

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Operation is one step of a JSON patch (RFC 6902).
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// Patch makes after of before, both pods or anything else with a JSON form. Lists of named things are changed element by element, so that fields which this
// program does not know, because Kubernetes is newer, stay in what is patched.
func Patch(before, after any) ([]Operation, error) {
	x, err := plain(before)
	if err != nil {
		return nil, err
	}
	y, err := plain(after)
	if err != nil {
		return nil, err
	}
	return diff(nil, "", x, y), nil
}

func plain(v any) (out any, err error) {
	raw, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		return nil, fmt.Errorf("make a patch: %w", err)
	}
	return out, nil
}

func diff(ops []Operation, path string, x, y any) []Operation {
	if reflect.DeepEqual(x, y) {
		return ops
	}
	if a, ok := x.(map[string]any); ok {
		if len(a) == 0 { // Kubernetes' types write some empty structs that what is patched does not have; "add" takes both
			return append(ops, Operation{"add", path, y})
		}
		if b, ok := y.(map[string]any); ok {
			return diffObjects(ops, path, a, b)
		}
	}
	if a, ok := byName(x); ok {
		if b, ok := byName(y); ok {
			if more, ok := diffLists(path, a, b); ok {
				return append(ops, more...)
			}
		}
	}
	return append(ops, Operation{"replace", path, y})
}

func diffObjects(ops []Operation, path string, x, y map[string]any) []Operation {
	for _, key := range slices.Sorted(maps.Keys(x)) {
		if _, stays := y[key]; !stays {
			ops = append(ops, Operation{Op: "remove", Path: path + "/" + escape(key)})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(y)) {
		at := path + "/" + escape(key)
		if was, ok := x[key]; ok {
			ops = diff(ops, at, was, y[key])
		} else {
			ops = append(ops, Operation{"add", at, y[key]})
		}
	}
	return ops
}

// escaping is RFC 6901's. Made once: it is asked for every key of a pod, and to make one takes more than all the rest of a patch.
var escaping = strings.NewReplacer("~", "~0", "/", "~1")

func escape(key string) string { return escaping.Replace(key) }

// item is an element of a list with its name.
type item struct {
	name  string
	value any
}

// byName reads a list whose elements all have different names.
func byName(v any) (out []item, ok bool) {
	list, ok := v.([]any)
	if !ok {
		return nil, false
	}
	for _, x := range list {
		m, _ := x.(map[string]any)
		name, _ := m["name"].(string)
		if name == "" || find(out, name) >= 0 {
			return nil, false
		}
		out = append(out, item{name, x})
	}
	return out, true
}

func find(list []item, name string) int {
	return slices.IndexFunc(list, func(i item) bool { return i.name == name })
}

// diffLists removes, adds and changes; false when what stays comes in another order.
func diffLists(path string, x, y []item) (ops []Operation, ok bool) {
	at := func(i int) string { return path + "/" + strconv.Itoa(i) }
	now := slices.Clone(x)
	for i := len(now) - 1; i >= 0; i-- {
		if find(y, now[i].name) < 0 {
			now = slices.Delete(now, i, i+1)
			ops = append(ops, Operation{Op: "remove", Path: at(i)})
		}
	}
	for i, want := range y {
		if i < len(now) && now[i].name == want.name {
			ops = diff(ops, at(i), now[i].value, want.value)
			continue
		}
		if find(now, want.name) >= 0 {
			return nil, false
		}
		now = slices.Insert(now, i, want)
		ops = append(ops, Operation{"add", at(i), want.value})
	}
	return ops, true
}
