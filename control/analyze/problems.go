package analyze

import (
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/world"
	"github.com/heddle-mesh/heddle/mesh"
)

// problems gives what translation found its code.
func (a *analysis) problems() {
	byRef := map[mesh.Ref]api.Object{}
	for _, r := range a.results {
		byRef[r.Object.Ref()] = r.Object
	}
	for _, r := range a.results {
		for _, p := range r.Problems {
			a.problem(p, r.Object)
		}
		for _, p := range world.Core(r.Object, a.in.Settings) {
			a.problem(p, r.Object)
		}
		for _, p := range r.Elsewhere {
			a.problem(p, byRef[p.Object])
		}
	}
	for _, p := range world.Conflicts(a.results) {
		a.problem(p, byRef[p.Object])
	}
}

func (a *analysis) problem(p mesh.Problem, o api.Object) {
	a.told(codeOf(p, o), p)
	if p.Code == mesh.CodeInvalid && strings.Contains(p.Message, "regular expression") {
		a.told("IST0122", p) // besides: it is refused, and this is what Istio calls it
	}
}

func (a *analysis) told(code string, p mesh.Problem) {
	m := find(code)
	hint := p.Hint
	if hint == "" {
		hint = m.Fix
	}
	a.out = append(a.out, Finding{Message: m, Object: p.Object, Field: p.Field, Text: p.Message, Hint: hint})
}

// codeOf is Istio's code for a problem.
func codeOf(p mesh.Problem, o api.Object) string {
	switch {
	case p.Code.Fatal(), p.Code == mesh.CodeDenied:
		return "IST0106"
	case p.Code == mesh.CodeNotFound:
		return "IST0101"
	case p.Code == mesh.CodeConflict && o.Kind != nil:
		return conflict(p, o)
	case strings.HasSuffix(p.Field, ".patch.operation"):
		return operation(p, o)
	}
	return "IST0133"
}

func conflict(p mesh.Problem, o api.Object) string {
	switch spec := o.Spec.(type) {
	case *networking.VirtualService:
		if strings.HasPrefix(p.Field, "spec.hosts") {
			return "IST0109"
		}
	case *networking.Sidecar:
		if len(spec.GetWorkloadSelector().GetLabels()) > 0 {
			return "IST0110"
		}
		return "IST0111"
	}
	return "IST0133"
}

// operation tells which operation of an EnvoyFilter has no effect.
func operation(p mesh.Problem, o api.Object) string {
	spec, _ := o.Spec.(*networking.EnvoyFilter)
	for i, patch := range spec.GetConfigPatches() {
		if !strings.HasPrefix(p.Field, at("spec.configPatches", i)+".") {
			continue
		}
		switch patch.GetPatch().GetOperation() {
		case networking.EnvoyFilter_Patch_REPLACE:
			return "IST0152"
		case networking.EnvoyFilter_Patch_ADD:
			return "IST0153"
		case networking.EnvoyFilter_Patch_REMOVE:
			return "IST0154"
		}
	}
	return "IST0133"
}
