package status

import (
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"github.com/heddle-mesh/heddle/control/translate/condition"
)

// document is the status field as it should become: ours in place of what we wrote before, and what others wrote as it is. It says whether that differs
// from the present one. A condition keeps the time of its last change while its status stays.
func document(want *condition.Status, present map[string]any, now time.Time) (doc map[string]any, changed bool) {
	doc = plain(want)
	stamp := now.UTC().Format(time.RFC3339)
	if list, ok := doc["conditions"].([]any); ok {
		doc["conditions"] = conditions(list, present["conditions"], stamp)
	}
	for _, l := range items(doc["listeners"]) {
		old := find(present["listeners"], field("name"), l["name"])
		l["conditions"] = conditions(l["conditions"], old["conditions"], stamp)
	}
	if parents, ok := doc["parents"].([]any); ok {
		doc["parents"] = merge(parents, present["parents"], "parentRef", stamp)
	} else if _, routes := present["parents"]; routes && want.Parents != nil {
		doc["parents"] = merge(nil, present["parents"], "parentRef", stamp)
	}
	if ancestors, ok := doc["ancestors"].([]any); ok {
		doc["ancestors"] = merge(ancestors, present["ancestors"], "ancestorRef", stamp)
	}
	if (want.Listeners != nil || want.Assigned) && want.Addresses == nil && present["addresses"] != nil { // the last address went
		doc["addresses"] = []any{}
	}
	// Only fields that we give are compared: the others are not ours.
	for key, v := range doc {
		if !same(v, present[key]) {
			changed = true
		}
	}
	return doc, changed
}

// field reads a field of an object in a list.
func field(key string) func(any) any {
	return func(v any) any { m, _ := v.(map[string]any); return m[key] }
}

// plain is a value as JSON has it.
func plain(v any) map[string]any {
	raw, _ := json.Marshal(v) // plain structs: cannot fail
	var m map[string]any
	_ = json.Unmarshal(raw, &m)
	return m
}

func same(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	var p, q any
	_, _ = json.Unmarshal(x, &p), json.Unmarshal(y, &q)
	return reflect.DeepEqual(p, q)
}

func items(v any) (out []map[string]any) {
	list, _ := v.([]any)
	for _, x := range list {
		if m, ok := x.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func find(list any, key func(any) any, want any) map[string]any {
	for _, m := range items(list) {
		if key(m) == want {
			return m
		}
	}
	return nil
}

// conditions keeps those of other types, in front, because others wrote them; and the order of ours as it was, so that nothing is written for an order.
func conditions(ours, present any, stamp string) []any {
	want := items(ours)
	var out []any
	for _, old := range items(present) {
		i := slices.IndexFunc(want, func(c map[string]any) bool { return c["type"] == old["type"] })
		if i < 0 {
			out = append(out, old)
			continue
		}
		c := want[i]
		want = slices.Delete(want, i, i+1)
		if c["lastTransitionTime"] = stamp; old["status"] == c["status"] && old["lastTransitionTime"] != nil {
			c["lastTransitionTime"] = old["lastTransitionTime"]
		}
		out = append(out, c)
	}
	for _, c := range want {
		c["lastTransitionTime"] = stamp
		out = append(out, c)
	}
	return out
}

// merge keeps the entries of other controllers, for parents of routes or ancestors of policies, which are named by a reference.
func merge(ours []any, present any, by, stamp string) []any {
	out := []any{}
	for _, old := range items(present) {
		if old["controllerName"] != condition.Controller {
			out = append(out, old)
		}
	}
	for _, p := range items(ours) {
		ref, _ := p[by].(map[string]any)
		// The API fills these in, so a reference without them would always look changed.
		for key, value := range map[string]string{"group": "gateway.networking.k8s.io", "kind": "Gateway"} {
			if _, ok := ref[key]; !ok {
				ref[key] = value
			}
		}
		var old map[string]any
		for _, o := range items(present) {
			if o["controllerName"] == condition.Controller && same(o[by], ref) {
				old = o
			}
		}
		p["conditions"] = conditions(p["conditions"], ownConditions(old["conditions"], p["conditions"]), stamp)
		out = append(out, p)
	}
	return out
}

// ownConditions leaves out what we do not say any more: an entry of ours is ours alone.
func ownConditions(present, ours any) any {
	var out []any
	for _, old := range items(present) {
		if slices.ContainsFunc(items(ours), func(c map[string]any) bool { return c["type"] == old["type"] }) {
			out = append(out, old)
		}
	}
	return out
}
