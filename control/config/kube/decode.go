package kube

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/heddle-mesh/heddle/api"
)

// decode reads what the API sent. The parts that only the API needs are cut off first: they are large and change without meaning.
func decode(k *api.Kind, u *unstructured.Unstructured) (api.Object, []api.Problem) {
	core := k.Group == api.GroupCore || k.Group == api.GroupDiscovery
	kubernetes := core || k.Group == api.GroupIngress
	unstructured.RemoveNestedField(u.Object, "metadata", "managedFields")
	unstructured.RemoveNestedField(u.Object, "metadata", "annotations", corev1.LastAppliedConfigAnnotation)
	if core {
		// A core object's status is part of what it means, and it is the whole object: the version would make every write a change.
		unstructured.RemoveNestedField(u.Object, "metadata", "resourceVersion")
	}
	// A list's items may come without these.
	u.SetAPIVersion(k.APIVersion())
	u.SetKind(k.Kind)
	o, problems := api.FromMap(u.Object)
	if kubernetes {
		// An API server that is newer than this build has fields that this build does not know; that is nobody's mistake.
		problems = slices.DeleteFunc(problems, func(p api.Problem) bool { return slices.Contains(o.Unknown, p.Field) })
		o.Unknown = nil
	}
	if core && !k.Conditioned() {
		o.Status = nil
	}
	switch s := o.Spec.(type) {
	case *corev1.Pod:
		o.Spec = trimPod(s)
	case *corev1.Service: // conditions are answers, not part of what an object means
		s.Status.Conditions = nil
	case *corev1.Namespace:
		s.Status.Conditions = nil
	}
	return o, problems
}

// trimPod keeps what the registry reads: a mesh has many Pods and each is large.
func trimPod(p *corev1.Pod) *corev1.Pod {
	out := &corev1.Pod{ObjectMeta: p.ObjectMeta}
	out.Annotations, out.ManagedFields = nil, nil
	out.Spec = corev1.PodSpec{NodeName: p.Spec.NodeName, ServiceAccountName: p.Spec.ServiceAccountName, HostNetwork: p.Spec.HostNetwork,
		InitContainers: trimContainers(p.Spec.InitContainers), Containers: trimContainers(p.Spec.Containers)}
	out.Status = corev1.PodStatus{Phase: p.Status.Phase, PodIP: p.Status.PodIP, PodIPs: p.Status.PodIPs}
	return out
}

func trimContainers(list []corev1.Container) []corev1.Container {
	var out []corev1.Container
	for _, c := range list {
		if len(c.Ports) > 0 {
			out = append(out, corev1.Container{Name: c.Name, Ports: c.Ports})
		}
	}
	return out
}
