package laptop

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

// api writes objects to the mesh's own API server by server-side apply.
type api struct{ client dynamic.Interface }

// manager owns the fields that heddle up writes.
const manager = "heddle-up"

// plurals are the resources that heddle up writes.
var plurals = map[string]string{
	"Namespace": "namespaces", "ServiceAccount": "serviceaccounts", "Service": "services", "ConfigMap": "configmaps",
	"WorkloadEntry": "workloadentries", "VirtualService": "virtualservices", "DestinationRule": "destinationrules", "Gateway": "gateways",
}

func newAPI(kubeconfig string) (*api, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", kubeconfig, err)
	}
	cfg.QPS, cfg.Burst = 200, 200
	cfg.WarningHandler = rest.NoWarnings{} // at the start, references to what is written a moment later
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("use %s: %w", kubeconfig, err)
	}
	return &api{client: client}, nil
}

// each calls f for every object of a YAML text, in order.
func (a *api) each(text, verb string, f func(*unstructured.Unstructured, dynamic.ResourceInterface) error) error {
	for doc := range strings.SplitSeq(text, "\n---\n") {
		var o unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil {
			return fmt.Errorf("read an object: %w", err)
		}
		if len(o.Object) == 0 {
			continue
		}
		r, err := a.resource(&o)
		if err == nil {
			err = f(&o, r)
		}
		if err != nil {
			return fmt.Errorf("%s %s %s/%s: %w", verb, o.GetKind(), o.GetNamespace(), o.GetName(), err)
		}
	}
	return nil
}

// apply writes all objects of a YAML text, in order.
func (a *api) apply(ctx context.Context, text string) error {
	return a.each(text, "apply", func(o *unstructured.Unstructured, r dynamic.ResourceInterface) error {
		data, err := o.MarshalJSON()
		if err != nil {
			return err
		}
		force := true
		return again(ctx, func() error {
			_, err := r.Patch(ctx, o.GetName(), types.ApplyPatchType, data, metav1.PatchOptions{FieldManager: manager, Force: &force})
			return err
		})
	})
}

// create writes the objects of a YAML text that do not exist yet.
func (a *api) create(ctx context.Context, text string) error {
	return a.each(text, "create", func(o *unstructured.Unstructured, r dynamic.ResourceInterface) error {
		return again(ctx, func() error {
			_, err := r.Create(ctx, o, metav1.CreateOptions{FieldManager: manager})
			if apierrors.IsAlreadyExists(err) {
				return nil
			}
			return err
		})
	})
}

// again tries while the API server is still taking up a kind, for a few seconds.
func again(ctx context.Context, f func() error) error {
	for end := time.Now().Add(5 * time.Second); ; {
		err := f()
		if err == nil || time.Now().After(end) || ctx.Err() != nil || apierrors.IsInvalid(err) || apierrors.IsForbidden(err) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// service reads a Service; nil when there is none.
func (a *api) service(ctx context.Context, namespace, name string) (*corev1.Service, error) {
	o, err := a.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "services"}).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	s := &corev1.Service{}
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, s)
	}
	if err != nil {
		return nil, fmt.Errorf("read Service %s/%s: %w", namespace, name, err)
	}
	return s, nil
}

// balanced says where a Service of type LoadBalancer is reached: on this machine the mesh is its own load balancer.
func (a *api) balanced(ctx context.Context, namespace, name, ip string, port int) error {
	patch := fmt.Sprintf(`{"status":{"loadBalancer":{"ingress":[{"ip":%q,"ports":[{"port":%d,"protocol":"TCP"}]}]}}}`, ip, port)
	services := a.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: plurals["Service"]}).Namespace(namespace)
	err := again(ctx, func() error {
		_, err := services.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: manager}, "status")
		return err
	})
	if err != nil {
		return fmt.Errorf("write the address of Service %s/%s: %w", namespace, name, err)
	}
	return nil
}

// remove deletes all objects of a YAML text; what is gone already is no error.
func (a *api) remove(ctx context.Context, text string) error {
	return a.each(text, "delete", func(o *unstructured.Unstructured, r dynamic.ResourceInterface) error {
		if err := r.Delete(ctx, o.GetName(), metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
			return err
		}
		return nil
	})
}

// removeOld deletes the objects of workloads that an earlier mesh left in kept data, but those of the workloads to come.
func (a *api) removeOld(ctx context.Context, coming []*workload) error {
	keep := map[string]bool{}
	for _, w := range coming {
		keep["WorkloadEntry "+w.id()], keep["Service "+w.namespace+"/"+w.app], keep["ServiceAccount "+w.namespace+"/"+w.account] = true, true, true
	}
	for kind, resource := range map[string]schema.GroupVersionResource{
		"WorkloadEntry":  {Group: "networking.istio.io", Version: "v1", Resource: plurals["WorkloadEntry"]},
		"Service":        {Version: "v1", Resource: plurals["Service"]},
		"ServiceAccount": {Version: "v1", Resource: plurals["ServiceAccount"]},
	} {
		list, err := a.client.Resource(resource).List(ctx, metav1.ListOptions{LabelSelector: strings.ReplaceAll(ours, ": ", "=")})
		if err != nil {
			return fmt.Errorf("list objects of kind %s: %w", kind, err)
		}
		for _, o := range list.Items {
			if keep[kind+" "+o.GetNamespace()+"/"+o.GetName()] {
				continue
			}
			if err := a.client.Resource(resource).Namespace(o.GetNamespace()).Delete(ctx, o.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("delete %s %s/%s: %w", kind, o.GetNamespace(), o.GetName(), err)
			}
		}
	}
	return nil
}

func (a *api) resource(o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	plural, ok := plurals[o.GetKind()]
	if !ok {
		return nil, fmt.Errorf("kind %s is not written by heddle up", o.GetKind())
	}
	gv, err := schema.ParseGroupVersion(o.GetAPIVersion())
	if err != nil {
		return nil, err
	}
	r := a.client.Resource(gv.WithResource(plural))
	if o.GetNamespace() == "" {
		return r, nil
	}
	return r.Namespace(o.GetNamespace()), nil
}
