package inject

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const (
	labelInjection = "istio-injection"
	labelRevision  = "istio.io/rev"
	keyInject      = "sidecar.istio.io/inject"
)

// systemNamespaces are never injected, whatever they ask for: a cluster must be able to start without its mesh.
var systemNamespaces = []string{"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}

// Skip says why a pod gets no proxy, "" when it gets one. These are the rules of Istio's webhook selectors and of istiod behind them.
func (s *Settings) Skip(r Request) string {
	switch {
	case slices.Contains(systemNamespaces, r.Namespace):
		return "pods of the namespace " + r.Namespace + " are never injected"
	case r.Pod.Spec.HostNetwork:
		return "the pod uses the host's network (spec.hostNetwork), where capture would take over the node; set it to false to have a proxy"
	}
	wish := wish(r.Pod)
	if wish == no {
		return "the pod asks for none (" + keyInject + ")"
	}
	if r.Selected || wish == yes && r.Labels == nil {
		return ""
	}
	switch value, said := r.Labels[labelInjection]; {
	case value == "enabled" && s.serves(defaultRevision):
		return ""
	case value == "enabled":
		return "the namespace asks for the default revision (" + labelInjection + "=enabled), and this one is " + s.Revision
	case said:
		return fmt.Sprintf("the namespace is labelled %s=%s", labelInjection, value)
	}
	if value, said := r.Labels[labelRevision]; said {
		return s.other("the namespace", value)
	}
	if value, said := r.Pod.Labels[labelRevision]; said {
		return s.other("the pod", value)
	}
	if wish == yes && s.serves(defaultRevision) {
		return ""
	}
	return fmt.Sprintf("neither its namespace (%s=enabled) nor the pod (label %s=true) asks for one", labelInjection, keyInject)
}

func (s *Settings) other(who, revision string) string {
	if s.serves(revision) {
		return ""
	}
	return fmt.Sprintf("%s asks for the revision %s, and this one is %s", who, revision, s.Revision)
}

// serves says whether a revision or tag is this one's.
func (s *Settings) serves(revision string) bool {
	return revision == s.Revision || slices.Contains(s.Tags, revision)
}

type answer int

const (
	unsaid answer = iota
	yes
	no
)

// wish is what the pod itself says: its label counts, then the annotation that came before it.
func wish(p *corev1.Pod) answer {
	value, said := p.Labels[keyInject]
	if !said {
		value, said = p.Annotations[keyInject]
	}
	switch strings.ToLower(value) {
	case "true", "yes", "y", "on":
		return yes
	case "":
		return unsaid
	}
	if !said {
		return unsaid
	}
	return no
}
