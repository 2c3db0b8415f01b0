package main

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/heddle-mesh/heddle/platform/laptop"
)

// churn changes routes, and makes and removes services with endpoints.
type churn struct {
	api  dynamic.Interface
	made int
}

var (
	routes  = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
	entries = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "serviceentries"}
)

func newChurn(s *laptop.Status) (*churn, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig)
	if err != nil {
		return nil, err
	}
	api, err := dynamic.NewForConfig(cfg)
	return &churn{api: api}, err
}

// run makes a change every second.
func (c *churn) run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		// A change that is under way at the end is finished.
		if err := c.one(context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("change %d: %w", c.made, err)
		}
		c.made++
	}
}

// one is a new weight, or a service that comes or goes: there are 20 names, so that each is used again and again.
func (c *churn) one(ctx context.Context) error {
	n := c.made / 3 % 20
	name := fmt.Sprintf("soak-%d", n)
	services := c.api.Resource(entries).Namespace("shop")
	switch c.made % 3 {
	case 0:
		patch := fmt.Sprintf(`{"spec":{"http":[{"name":"page","headers":{"response":{"set":{"x-soak":"%d"}}},"route":[{"destination":{"host":"web","port":{"number":8080}}}]}]}}`, c.made)
		_, err := c.api.Resource(routes).Namespace("shop").Patch(ctx, "web", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		return err
	case 1:
		if err := services.Delete(ctx, name, metav1.DeleteOptions{}); err == nil || !apierrors.IsNotFound(err) {
			return err
		}
		return nil
	}
	var endpoints []any
	for i := range 10 {
		endpoints = append(endpoints, map[string]any{"address": fmt.Sprintf("192.0.2.%d", (c.made+i)%250+1)})
	}
	_, err := services.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"hosts": []any{name + ".example.com"}, "resolution": "STATIC", "location": "MESH_EXTERNAL",
			"ports": []any{map[string]any{"number": int64(80), "name": "http", "protocol": "HTTP"}}, "endpoints": endpoints},
	}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
