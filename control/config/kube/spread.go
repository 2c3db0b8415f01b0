package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// work is a queue of names, each done again until it succeeds.
type work struct {
	queue workqueue.TypedRateLimitingInterface[string]
	log   *slog.Logger
}

func newWork(log *slog.Logger) work {
	return work{queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](200*time.Millisecond, 30*time.Second)), log: log}
}

// run does until ctx ends.
func (w work) run(ctx context.Context, do func(context.Context, string) error) {
	stopped := context.AfterFunc(ctx, w.queue.ShutDown)
	defer stopped()
	for {
		name, end := w.queue.Get()
		if end {
			return
		}
		if err := do(ctx, name); err != nil && ctx.Err() == nil {
			if w.queue.NumRequeues(name) == 0 {
				w.log.Warn("trying again", "error", err)
			}
			w.queue.AddRateLimited(name)
		} else {
			w.queue.Forget(name)
		}
		w.queue.Done(name)
	}
}

// follow watches objects and queues the names that key gives; it returns the store of what is there.
func (w work) follow(ctx context.Context, lw *cache.ListWatch, of runtime.Object, key func(metav1.Object) string) cache.Store {
	add := func(obj any) {
		if d, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = d.Obj
		}
		if o, ok := obj.(metav1.Object); ok {
			w.queue.Add(key(o))
		}
	}
	store, controller := cache.NewInformerWithOptions(cache.InformerOptions{ListerWatcher: cache.ToListWatcherWithWatchListSemantics(lw, plainLists{}), ObjectType: of,
		Handler: cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, now any) { add(now) }, DeleteFunc: add}})
	go controller.RunWithContext(ctx)
	return store
}

// named selects one name.
func named(o metav1.ListOptions, name string) metav1.ListOptions {
	o.FieldSelector = fields.OneTermEqualSelector("metadata.name", name).String()
	return o
}

// Spread keeps the ConfigMap in every namespace, old and new, until ctx ends; one that is changed or removed is written anew.
func (c *Client) Spread(ctx context.Context, r Roots, log *slog.Logger) {
	w, api := newWork(log), c.typed.CoreV1()
	maps := w.follow(ctx, &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return api.ConfigMaps("").List(ctx, named(o, r.Name))
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return api.ConfigMaps("").Watch(ctx, named(o, r.Name))
		},
	}, &corev1.ConfigMap{}, metav1.Object.GetNamespace)
	spaces := w.follow(ctx, &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return api.Namespaces().List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return api.Namespaces().Watch(ctx, o)
		},
	}, &corev1.Namespace{}, metav1.Object.GetName)
	w.run(ctx, func(ctx context.Context, namespace string) error {
		if _, ok, _ := spaces.GetByKey(namespace); !ok { // gone, or not seen yet: then it comes again
			return nil
		}
		if have, ok, _ := maps.GetByKey(namespace + "/" + r.Name); ok && r.current(have.(*corev1.ConfigMap)) {
			return nil
		}
		return r.put(ctx, c, namespace)
	})
}

// Vouch keeps the certificates in a MutatingWebhookConfiguration with which the API verifies heddled, until ctx ends. The configuration itself is the installation's.
func (c *Client) Vouch(ctx context.Context, name string, roots []byte, log *slog.Logger) {
	w, api := newWork(log), c.typed.AdmissionregistrationV1().MutatingWebhookConfigurations()
	have := w.follow(ctx, &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return api.List(ctx, named(o, name))
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return api.Watch(ctx, named(o, name))
		},
	}, &admissionregistrationv1.MutatingWebhookConfiguration{}, metav1.Object.GetName)
	w.run(ctx, func(ctx context.Context, name string) error {
		obj, ok, _ := have.GetByKey(name)
		if !ok {
			return nil
		}
		patch := vouching(obj.(*admissionregistrationv1.MutatingWebhookConfiguration), roots)
		if len(patch) == 0 {
			return nil
		}
		text, err := json.Marshal(patch)
		if err == nil {
			_, err = api.Patch(ctx, name, types.JSONPatchType, text, metav1.PatchOptions{FieldManager: fieldManager})
		}
		if err != nil {
			return fmt.Errorf("tell the API how to verify the webhook %s: %w", name, c.explain(err))
		}
		log.Info("the API can verify the webhook", "name", name)
		return nil
	})
}

// vouching is the patch that puts the certificates in; a test in front of each keeps it from the wrong webhook when the list changed meanwhile.
func vouching(have *admissionregistrationv1.MutatingWebhookConfiguration, roots []byte) (patch []map[string]any) {
	for i, h := range have.Webhooks {
		if string(h.ClientConfig.CABundle) != string(roots) {
			at := fmt.Sprintf("/webhooks/%d/", i)
			patch = append(patch, map[string]any{"op": "test", "path": at + "name", "value": h.Name}, map[string]any{"op": "add", "path": at + "clientConfig/caBundle", "value": roots})
		}
	}
	return patch
}
