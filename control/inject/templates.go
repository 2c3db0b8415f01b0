package inject

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

const (
	keyTemplates    = "inject.istio.io/templates"
	templateSidecar = "sidecar"
	templateGateway = "gateway"
	imageAuto       = "auto" // a container with this image leaves it to the injection
)

// builtin says whether a template's name is one of Istio's.
func builtin(name string) bool {
	return slices.Contains([]string{templateSidecar, templateGateway, templateGRPC, "grpc-simple", "waypoint", "kube-gateway", "agentgateway"}, name)
}

// known are the templates that a pod may name.
func (s *Settings) known() []string {
	return append([]string{templateSidecar, templateGateway, templateGRPC}, slices.Sorted(maps.Keys(s.Templates))...)
}

// overlay lets the author's container of the same name go before ours.
func (b *builder) overlay(field string, ours corev1.Container, own *corev1.Container) (out corev1.Container, err error) {
	if own == nil {
		return ours, nil
	}
	own = own.DeepCopy()
	if own.Image == imageAuto {
		own.Image = ""
		if own.ImagePullPolicy == corev1.PullAlways { // what the API writes for an image without a tag; the author did not mean it
			own.ImagePullPolicy = ""
		}
	}
	if err := patch(ours, own, &out); err != nil {
		return out, Refusal{field + "[" + ours.Name + "]", err.Error()}
	}
	return out, nil
}

// templates applies the installation's own ones, in the order in which the pod names them.
func (b *builder) templates(a *added) error {
	for _, name := range b.wants.templates {
		raw, custom := b.s.Templates[name]
		if !custom {
			continue
		}
		before := b.pod
		var after corev1.Pod
		if err := patch(before, raw, &after); err != nil {
			return Refusal{annotation(keyTemplates), fmt.Sprintf("the template %s: %v", name, err)}
		}
		fresh := func(x, y []string) []string {
			return slices.DeleteFunc(x, func(n string) bool { return slices.Contains(y, n) })
		}
		container := func(c corev1.Container) string { return c.Name }
		volume := func(v corev1.Volume) string { return v.Name }
		a.Containers = append(a.Containers, fresh(names(after.Spec.Containers, container), names(before.Spec.Containers, container))...)
		a.InitContainers = append(a.InitContainers, fresh(names(after.Spec.InitContainers, container), names(before.Spec.InitContainers, container))...)
		a.Volumes = append(a.Volumes, fresh(names(after.Spec.Volumes, volume), names(before.Spec.Volumes, volume))...)
		b.pod = &after
	}
	return nil
}

// patch merges as kubectl does: lists by their names.
func patch[T any](ours any, over any, into *T) error {
	low, err := json.Marshal(ours)
	if err != nil {
		return err
	}
	high, err := json.Marshal(over)
	if err != nil {
		return err
	}
	merged, err := strategicpatch.StrategicMergePatch(low, high, *into)
	if err != nil {
		return err
	}
	return json.Unmarshal(merged, into)
}

func joined(faults []error) error { return errors.Join(faults...) }
