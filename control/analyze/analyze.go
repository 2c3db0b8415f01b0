// Package analyze says what is questionable about objects that belong together: what validation refuses, what translation found out, and what only a look at several of
// them shows. It speaks Istio's codes.
//
// In: decoded objects, workloads, and the settings of the mesh. Out: findings. Pure; safe for concurrent use.
package analyze

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/world"
	"github.com/heddle-mesh/heddle/mesh"
)

// suppress is the annotation that lists codes which its object is not told of; * is all.
const suppress = "galley.istio.io/analyze-suppress"

// Workload is what selectors choose: a Pod, what makes pods, or a WorkloadEntry.
type Workload struct {
	Ref    mesh.Ref
	Labels mesh.Labels // of its pods
}

// Input is what is analyzed.
type Input struct {
	Settings  *mesh.Settings
	Objects   []api.Object
	Problems  []mesh.Problem // of decoding
	Workloads []Workload     // besides the Pods and WorkloadEntries among the objects
	Now       time.Time      // by which certificates have expired; zero: none has
}

// Finding is one thing to know about an object.
type Finding struct {
	Message
	Object mesh.Ref
	Field  string
	Text   string
	Hint   string
}

// analysis is the state of one run.
type analysis struct {
	in        Input
	results   []world.Result
	world     *world.World
	workloads []Workload
	out       []Finding
}

// analyzers in the order in which they speak.
var analyzers = []func(*analysis){
	(*analysis).problems, (*analysis).destinations, (*analysis).rules, (*analysis).gatewayHosts, (*analysis).verification, (*analysis).selectors,
	(*analysis).portNames, (*analysis).sharedPods, (*analysis).gateways, (*analysis).gatewayPorts, (*analysis).credentials, (*analysis).entries,
	(*analysis).filters, (*analysis).telemetries, (*analysis).annotations, (*analysis).deprecations, (*analysis).ingressSubsets, (*analysis).subsets, (*analysis).protocols,
	(*analysis).sidecars,
}

// Run gives the findings, ordered by object and then by code, without those that their objects suppress.
func Run(in Input) []Finding {
	a := &analysis{in: in, workloads: slices.Clone(in.Workloads)}
	var rest []mesh.Problem
	a.results, rest = world.Translate(in.Settings, in.Objects, in.Problems)
	valid := make([]api.Object, 0, len(a.results))
	muted := map[mesh.Ref][]string{}
	for _, r := range a.results {
		if !r.Broken() {
			valid = append(valid, r.Object)
		}
		if s := r.Object.Meta.Annotations[suppress]; s != "" {
			muted[r.Object.Ref()] = strings.Split(s, ",")
		}
		switch {
		case r.Object.Kind.Group == api.GroupCore && r.Object.Kind.Kind == "Pod":
			a.workloads = append(a.workloads, Workload{r.Object.Ref(), r.Object.Meta.Labels})
		case r.Workload != nil:
			a.workloads = append(a.workloads, Workload{r.Workload.Origin, r.Workload.Labels})
		}
	}
	a.world = world.New(in.Settings, valid)
	for _, p := range rest {
		a.problem(p, api.Object{})
	}
	for _, analyze := range analyzers {
		analyze(a)
	}
	out := slices.DeleteFunc(a.out, func(f Finding) bool {
		return slices.ContainsFunc(muted[f.Object], func(code string) bool { code = strings.TrimSpace(code); return code == "*" || code == f.Code })
	})
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Object.Namespace, b.Object.Namespace), cmp.Compare(a.Object.Kind, b.Object.Kind), cmp.Compare(a.Object.Name, b.Object.Name), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(out)
}

// say notes a finding in the words of the table, with a text of its own.
func (a *analysis) say(code string, ref mesh.Ref, field, text string) {
	m := find(code)
	a.out = append(a.out, Finding{Message: m, Object: ref, Field: field, Text: text, Hint: m.Fix})
}

// each calls visit for every object with a spec of a type that decoding let pass.
func each[T any](a *analysis, visit func(o api.Object, spec T)) {
	for _, r := range a.results {
		if spec, ok := r.Object.Spec.(T); ok && r.Object.Read {
			visit(r.Object, spec)
		}
	}
}

// workloadsOf are those in a namespace ("": any) that a selector matches.
func (a *analysis) workloadsOf(ns mesh.Namespace, selector mesh.Labels) (out []Workload) {
	for _, w := range a.workloads {
		if (ns == "" || w.Ref.Namespace == ns) && selector.Selects(w.Labels) {
			out = append(out, w)
		}
	}
	return out
}
