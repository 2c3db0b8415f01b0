package install

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var pods = schema.GroupVersionKind{Version: "v1", Kind: "Pod"}

// ready waits until every Deployment, StatefulSet and DaemonSet runs as it is written, and the API can verify every webhook.
func (c *Cluster) ready(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		r := refOf(o)
		look := map[string]func(context.Context, ref) (string, error){"Deployment": c.deployed, "StatefulSet": c.deployed, "DaemonSet": c.everywhere, "MutatingWebhookConfiguration": c.vouched}[r.Kind]
		if look == nil {
			continue
		}
		if err := c.wait(ctx, func(ctx context.Context) (string, error) { return look(ctx, r) }); err != nil {
			return fmt.Errorf("%s is not ready: %w", r, err)
		}
		c.Say(r.String() + " is ready")
	}
	return nil
}

func (c *Cluster) deployed(ctx context.Context, r ref) (string, error) {
	u, err := c.get(ctx, r)
	if err != nil {
		return "", err
	}
	number := func(fields ...string) int64 {
		n, _, _ := unstructured.NestedInt64(u.Object, fields...)
		return n
	}
	want := number("spec", "replicas")
	if number("status", "observedGeneration") >= u.GetGeneration() && number("status", "updatedReplicas") >= want &&
		number("status", "availableReplicas") >= want && number("status", "replicas") == number("status", "updatedReplicas") {
		return "", nil
	}
	reason := fmt.Sprintf("%d of %d pods of %s are ready", min(number("status", "availableReplicas"), number("status", "updatedReplicas")), want, r.Name)
	if why := c.why(ctx, u); why != "" {
		reason += " (" + why + ")"
	}
	return reason, nil
}

// everywhere looks whether a DaemonSet runs on each of its nodes.
func (c *Cluster) everywhere(ctx context.Context, r ref) (string, error) {
	u, err := c.get(ctx, r)
	if err != nil {
		return "", err
	}
	number := func(name string) int64 {
		n, _, _ := unstructured.NestedInt64(u.Object, "status", name)
		return n
	}
	want := number("desiredNumberScheduled")
	if number("observedGeneration") >= u.GetGeneration() && number("updatedNumberScheduled") >= want && number("numberAvailable") >= want {
		return "", nil
	}
	reason := fmt.Sprintf("%d of %d nodes have a ready pod of %s", min(number("numberAvailable"), number("updatedNumberScheduled")), want, r.Name)
	if why := c.why(ctx, u); why != "" {
		reason += " (" + why + ")"
	}
	return reason, nil
}

// why looks for what keeps the pods of a Deployment, StatefulSet or DaemonSet from being ready; without an answer it says nothing.
func (c *Cluster) why(ctx context.Context, owner *unstructured.Unstructured) string {
	if list, _, _ := unstructured.NestedSlice(owner.Object, "status", "conditions"); condition(owner, "ReplicaFailure") == "True" {
		for _, x := range list {
			if m, _ := x.(map[string]any); m["type"] == "ReplicaFailure" {
				return fmt.Sprint(m["message"])
			}
		}
	}
	match, _, _ := unstructured.NestedStringMap(owner.Object, "spec", "selector", "matchLabels")
	list, err := c.at(pods, owner.GetNamespace()).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(match).String()})
	if err != nil {
		return ""
	}
	for _, p := range list.Items {
		if why := unscheduled(&p); why != "" {
			return fmt.Sprintf("pod %s: %.200s", p.GetName(), why)
		}
		for _, field := range []string{"initContainerStatuses", "containerStatuses"} {
			statuses, _, _ := unstructured.NestedSlice(p.Object, "status", field)
			for _, s := range statuses {
				m, _ := s.(map[string]any)
				reason, _, _ := unstructured.NestedString(m, "state", "waiting", "reason")
				message, _, _ := unstructured.NestedString(m, "state", "waiting", "message")
				switch reason {
				case "", "ContainerCreating", "PodInitializing":
					continue
				case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull":
					return fmt.Sprintf("container %v of pod %s: the image %v cannot be had", m["name"], p.GetName(), m["image"])
				}
				return strings.TrimSuffix(fmt.Sprintf("container %v of pod %s: %s: %.200s", m["name"], p.GetName(), reason, message), ": ")
			}
		}
	}
	return ""
}

// unscheduled is why no node takes a pod, such as a claim that nothing provides a volume for.
func unscheduled(pod *unstructured.Unstructured) string {
	list, _, _ := unstructured.NestedSlice(pod.Object, "status", "conditions")
	for _, x := range list {
		if m, _ := x.(map[string]any); m["type"] == "PodScheduled" && m["status"] == "False" {
			return fmt.Sprint(m["message"])
		}
	}
	return ""
}

func (c *Cluster) vouched(ctx context.Context, r ref) (string, error) {
	u, err := c.get(ctx, r)
	if err != nil {
		return "", err
	}
	hooks, _, _ := unstructured.NestedSlice(u.Object, "webhooks")
	for _, h := range hooks {
		m, _ := h.(map[string]any)
		if bundle, _, _ := unstructured.NestedString(m, "clientConfig", "caBundle"); bundle == "" {
			return "the control plane tells the API how to verify " + r.Name, nil
		}
	}
	return "", nil
}
