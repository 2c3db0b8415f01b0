package analyze

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	telemetry "istio.io/api/telemetry/v1alpha1"
	selection "istio.io/api/type/v1beta1"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// verification wants an authority for TLS that clients begin.
func (a *analysis) verification() {
	each(a, func(o api.Object, spec *networking.DestinationRule) {
		selected := len(spec.GetWorkloadSelector().GetMatchLabels()) > 0
		a.policy(o.Ref(), "spec.trafficPolicy", spec.GetTrafficPolicy(), selected)
		for i, s := range spec.GetSubsets() {
			a.policy(o.Ref(), at("spec.subsets", i)+".trafficPolicy", s.GetTrafficPolicy(), selected)
		}
	})
}

func (a *analysis) policy(ref mesh.Ref, path string, p *networking.TrafficPolicy, selected bool) {
	if unverified(p.GetTls(), selected) {
		a.say("IST0128", ref, path+".tls", fmt.Sprintf("mode %s names no authority that vouches for the server", p.Tls.Mode))
	}
	for i, port := range p.GetPortLevelSettings() {
		if unverified(port.GetTls(), selected) {
			a.say("IST0129", ref, at(path+".portLevelSettings", i)+".tls", fmt.Sprintf("mode %s of port %d names no authority that vouches for the server", port.Tls.Mode, port.GetPort().GetNumber()))
		}
	}
}

// unverified says whether no authority is named. Sidecars are given credentials by name only where the rule selects workloads.
func unverified(t *networking.ClientTLSSettings, selected bool) bool {
	switch t.GetMode() {
	case networking.ClientTLSSettings_SIMPLE, networking.ClientTLSSettings_MUTUAL:
		return t != nil && t.CaCertificates == "" && (t.CredentialName+t.CaCertCredentialName == "" || !selected) && !t.GetInsecureSkipVerify().GetValue()
	}
	return false
}

// selectors looks for those that match nothing, where it is known which workloads there are.
func (a *analysis) selectors() {
	if len(a.workloads) == 0 {
		return
	}
	for _, r := range a.results {
		labels := selectorOf(r.Object.Spec)
		if len(labels) == 0 || !r.Object.Read {
			continue
		}
		ns := r.Object.Ref().Namespace
		if ns == a.in.Settings.RootNamespace {
			ns = ""
		}
		if g, ok := r.Object.Spec.(*networking.Gateway); ok {
			if len(a.workloadsOf("", g.Selector)) == 0 {
				a.say("IST0101", r.Object.Ref(), "spec.selector", fmt.Sprintf("no workload has the labels %s", labelText(g.Selector)))
			}
			continue
		}
		if len(a.workloadsOf(ns, labels)) > 0 {
			continue
		}
		switch r.Object.Spec.(type) {
		case *networking.Sidecar, *telemetry.Telemetry: // Istio's code for these kinds
			a.say("IST0101", r.Object.Ref(), selectorField(r.Object.Spec), fmt.Sprintf("no workload has the labels %s", labelText(labels)))
		default:
			a.say("IST0127", r.Object.Ref(), selectorField(r.Object.Spec), fmt.Sprintf("no workload has the labels %s", labelText(labels)))
		}
	}
}

// selectorOf gives the labels by which an object chooses workloads, whatever its kind calls them.
func selectorOf(spec any) mesh.Labels {
	switch s := spec.(type) {
	case *networking.Gateway:
		return s.GetSelector()
	case interface {
		GetWorkloadSelector() *networking.WorkloadSelector
	}:
		return s.GetWorkloadSelector().GetLabels()
	case interface {
		GetWorkloadSelector() *selection.WorkloadSelector
	}:
		return s.GetWorkloadSelector().GetMatchLabels()
	case interface {
		GetSelector() *selection.WorkloadSelector
	}:
		return s.GetSelector().GetMatchLabels()
	}
	return nil
}

func selectorField(spec any) string {
	if _, ok := spec.(interface {
		GetSelector() *selection.WorkloadSelector
	}); ok {
		return "spec.selector"
	}
	return "spec.workloadSelector"
}

func labelText(labels mesh.Labels) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, ",")
}

// filters looks at the order of patches of EnvoyFilters.
func (a *analysis) filters() {
	each(a, func(o api.Object, spec *networking.EnvoyFilter) {
		for i, p := range spec.GetConfigPatches() {
			if spec.GetPriority() != 0 {
				break
			}
			field, version := at("spec.configPatches", i)+".patch.operation", p.GetMatch().GetProxy().GetProxyVersion() != ""
			switch op := p.GetPatch().GetOperation(); op {
			case networking.EnvoyFilter_Patch_INSERT_BEFORE, networking.EnvoyFilter_Patch_INSERT_AFTER:
				if !version {
					a.say("IST0151", o.Ref(), field, op.String()+" is relative to what other EnvoyFilters may change")
					continue
				}
				a.say("IST0155", o.Ref(), field, op.String()+" of some versions of the proxy is relative to what other EnvoyFilters may change")
			case networking.EnvoyFilter_Patch_REPLACE, networking.EnvoyFilter_Patch_MERGE, networking.EnvoyFilter_Patch_REMOVE:
				if op != networking.EnvoyFilter_Patch_MERGE && placed(p.GetApplyTo()) {
					a.say("IST0151", o.Ref(), field, op.String()+" is relative to what other EnvoyFilters may change")
				}
				if version {
					a.say("IST0155", o.Ref(), field, op.String()+" of some versions of the proxy is relative to what other EnvoyFilters may change")
				}
			}
		}
	})
}

// placed says whether resources of a kind stand among others of an EnvoyFilter's making.
func placed(to networking.EnvoyFilter_ApplyTo) bool {
	return to == networking.EnvoyFilter_NETWORK_FILTER || to == networking.EnvoyFilter_HTTP_FILTER || to == networking.EnvoyFilter_VIRTUAL_HOST
}

// telemetries looks for several of one namespace that are for all of it.
func (a *analysis) telemetries() {
	whole := map[mesh.Namespace][]mesh.Ref{}
	each(a, func(o api.Object, spec *telemetry.Telemetry) {
		if spec.GetSelector() == nil && spec.GetTargetRef() == nil && len(spec.GetTargetRefs()) == 0 {
			whole[o.Ref().Namespace] = append(whole[o.Ref().Namespace], o.Ref())
		}
	})
	for _, refs := range whole {
		for _, ref := range refs {
			if len(refs) > 1 {
				a.say("IST0160", ref, "spec", fmt.Sprintf("%d Telemetries of the namespace have no selector", len(refs)))
			}
		}
	}
}
