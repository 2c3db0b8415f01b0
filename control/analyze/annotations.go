package analyze

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"istio.io/api/annotation"

	"github.com/heddle-mesh/heddle/api"
)

// annotations looks at those of Istio's domains, and at others that it knows.
func (a *analysis) annotations() {
	known := map[string]*annotation.Instance{}
	for _, i := range annotation.AllResourceAnnotations() {
		known[i.Name] = i
	}
	for _, r := range a.results {
		for _, key := range slices.Sorted(maps.Keys(r.Object.Meta.Annotations)) {
			domain, _, ok := strings.Cut(key, "/")
			if ok && (known[key] != nil || domain == "istio.io" || strings.HasSuffix(domain, ".istio.io")) && key != suppress {
				a.annotation(r.Object, key, known[key])
			}
		}
	}
}

func (a *analysis) annotation(o api.Object, key string, i *annotation.Instance) {
	field := fmt.Sprintf("metadata.annotations[%q]", key)
	if i == nil {
		a.say("IST0108", o.Ref(), field, "there is no annotation "+key)
		return
	}
	var kinds []string
	for _, t := range i.Resources {
		kinds = append(kinds, t.String())
	}
	if !slices.Contains(kinds, "Any") && !slices.Contains(kinds, o.Kind.Kind) {
		a.say("IST0107", o.Ref(), field, fmt.Sprintf("it is for %s, and this is a %s", strings.Join(kinds, ", "), o.Kind.Kind))
		return
	}
	switch {
	case i.Deprecated:
		a.say("IST0135", o.Ref(), field, key+" is deprecated")
	case i.FeatureStatus == annotation.Alpha:
		a.say("IST0136", o.Ref(), field, key+" belongs to an alpha feature")
	}
}
