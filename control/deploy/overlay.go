package deploy

import (
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/heddle-mesh/heddle/mesh"
)

// part is one object, by the name that its overlay has.
type part struct {
	of    string
	asked bool // rendered only if there is an overlay
	make  func(*deployment) *unstructured.Unstructured
	typed any // of its kind, for the keys by which lists are merged
}

var parts = []part{
	{"serviceAccount", false, (*deployment).account, corev1.ServiceAccount{}},
	{"deployment", false, (*deployment).deployment, appsv1.Deployment{}},
	{"service", false, (*deployment).service, corev1.Service{}},
	{"horizontalPodAutoscaler", true, (*deployment).scaler, autoscalingv2.HorizontalPodAutoscaler{}},
	{"podDisruptionBudget", true, (*deployment).budget, policyv1.PodDisruptionBudget{}},
}

// overlaid renders the objects with their overlays.
func (d *deployment) overlaid() (all []*unstructured.Unstructured, err error) {
	for _, p := range parts {
		if p.asked && !slices.ContainsFunc(d.g.Listens.Overlays, func(o mesh.Overlay) bool { return o.Of == p.of }) {
			continue
		}
		u := p.make(d)
		for _, o := range d.g.Listens.Overlays { // those of the class come first
			if o.Of != p.of {
				continue
			}
			merged, fault := merge(u.Object, o.Patch, p.typed)
			if fault != nil {
				err = errors.Join(err, fmt.Errorf("parameters of Gateway %s/%s, %s: %w", d.g.Object.Meta.Namespace, d.g.Object.Meta.Name, p.of, fault))
			} else {
				u.Object = merged
			}
		}
		all = append(all, u)
	}
	return all, err
}

func merge(object map[string]any, patch string, typed any) (map[string]any, error) {
	var p map[string]any
	if err := json.Unmarshal([]byte(patch), &p); err != nil {
		return nil, err
	}
	return strategicpatch.StrategicMergeMapPatch(object, p, typed)
}

// scaler scales the Deployment; the API server defaults to 80 % of the CPU that pods ask for.
func (d *deployment) scaler() *unstructured.Unstructured {
	return d.object("autoscaling/v2", "HorizontalPodAutoscaler", map[string]any{"spec": map[string]any{
		"scaleTargetRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": d.name}, "maxReplicas": int64(1)}})
}

// budget bounds how many pods may be taken away on purpose.
func (d *deployment) budget() *unstructured.Unstructured {
	return d.object("policy/v1", "PodDisruptionBudget", map[string]any{"spec": map[string]any{"selector": map[string]any{"matchLabels": d.selector()}}})
}
