package api

import (
	"fmt"
	"slices"
	"strings"
)

// mark is a label or annotation that has a meaning for the mesh and that Heddle honours (or that asks for nothing).
type mark struct {
	key   string // a trailing slash stands for every key of that domain
	kinds []string
}

// honouredMarks lists what is honoured. Any other key of an istio.io domain on a kind that is translated gives a Problem, because it asks for something.
var honouredMarks = []mark{
	{"heddle.dev/proxied", []string{"WorkloadEntry"}},
	{"heddle.dev/resolvesTo", []string{"ServiceEntry"}},
	{"heddle.dev/merge", []string{"VirtualService"}},
	{"heddle.dev/revision", nil},
	{"heddle.dev/ready", []string{"WorkloadEntry"}},
	{MarkHealthChecks, []string{"WorkloadEntry"}},
	// Who registered an entry, and when: written by control planes, Istio's too.
	{"istio.io/autoRegistrationGroup", []string{"WorkloadEntry"}},
	{"istio.io/workloadController", []string{"WorkloadEntry"}},
	{"istio.io/connectedAt", []string{"WorkloadEntry"}},
	{"istio.io/disconnectedAt", []string{"WorkloadEntry"}},
	{"proxy.istio.io/config", []string{"WorkloadGroup"}},
	{"istio.io/dry-run", []string{"AuthorizationPolicy"}},
	{"networking.istio.io/enable-autoallocate-ip", []string{"ServiceEntry"}},
	{"networking.istio.io/traffic-distribution", []string{"Service", "ServiceEntry", "Namespace"}},
	{"alpha.istio.io/canonical-serviceaccounts", []string{"Service"}},
	{"alpha.istio.io/kubernetes-serviceaccounts", []string{"Service"}},
	{"networking.istio.io/exportTo", []string{"Service"}},
	{"topology.istio.io/network", []string{"Pod", "WorkloadEntry", "ServiceEntry"}},
	{"topology.istio.io/cluster", []string{"Pod"}},
	{"topology.istio.io/subzone", []string{"Node", "WorkloadEntry"}},
	{"service.istio.io/", []string{"Pod", "WorkloadEntry"}},
	{"security.istio.io/tlsMode", []string{"Pod", "WorkloadEntry"}},
	{"gateway.networking.k8s.io/gateway-name", nil},
	{"gateway.networking.k8s.io/gateway-class-name", nil},
	// These ask for nothing that the data plane does: they are written by installers and by the analyzer of others.
	{"galley.istio.io/analyze-suppress", nil},
	{"operator.istio.io/", nil},
	{"install.operator.istio.io/", nil},
	{"gateway.istio.io/managed", nil},
	{"gateway.istio.io/controller-version", nil},
	{"gateway.networking.k8s.io/bundle-version", nil},
	{"gateway.networking.k8s.io/channel", nil},
}

// injection is the one label of the mesh without a domain; "disabled" asks for nothing.
const injection = "istio-injection"

// UnhonouredMarks gives the labels and annotations of Istio's, the Gateway API's and Heddle's domains that Heddle does not honour on this object.
func UnhonouredMarks(o Object) []Field {
	if o.Kind == nil {
		return nil
	}
	var out []Field
	for _, set := range []struct {
		name  string
		marks map[string]string
	}{{"labels", o.Meta.Labels}, {"annotations", o.Meta.Annotations}} {
		for _, key := range sortedKeys(set.marks) {
			if ofTheMesh(key) && !honoured(key, o.Kind.Kind) && !(key == injection && set.marks[key] == "disabled") {
				out = append(out, Field{Path: keyed("metadata."+set.name, key), Value: set.marks[key],
					Reason: fmt.Sprintf("%s is not honoured on a %s yet", key, o.Kind.Kind)})
			}
		}
	}
	return out
}

func ofTheMesh(key string) bool {
	domain, _, ok := strings.Cut(key, "/")
	return key == injection || ok && (domain == "istio.io" || strings.HasSuffix(domain, ".istio.io") || domain == "gateway.networking.k8s.io" || domain == "heddle.dev")
}

func honoured(key, kind string) bool {
	return slices.ContainsFunc(honouredMarks, func(m mark) bool {
		matches := m.key == key || strings.HasSuffix(m.key, "/") && strings.HasPrefix(key, m.key)
		return matches && (m.kinds == nil || slices.Contains(m.kinds, kind))
	})
}

// MarksExpression says in the language of the API's admission (CEL) whether an object has a label or annotation for the mesh.
func MarksExpression() string {
	const ours = `k == "` + injection + `" || k.startsWith("istio.io/") || k.contains(".istio.io/") || k.startsWith("gateway.networking.k8s.io/") || k.startsWith("heddle.dev/")`
	return "has(object.metadata.labels) && object.metadata.labels.exists(k, " + ours + ") || has(object.metadata.annotations) && object.metadata.annotations.exists(k, " + ours + ")"
}
