package cli

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/analyze"
	"github.com/heddle-mesh/heddle/control/inject/manifest"
	"github.com/heddle-mesh/heddle/mesh"
)

// workloads are what makes pods in files; the API has the pods themselves.
func (m *manifests) workloads() (out []analyze.Workload) {
	for _, text := range m.texts {
		for _, fields := range api.Maps(text) {
			path, ok := manifest.Template(fields)
			if !ok || len(path) == 0 {
				continue
			}
			kind, _ := fields["kind"].(string)
			version, _ := fields["apiVersion"].(string)
			gv, _ := schema.ParseGroupVersion(version) // one of the template's
			meta := below(fields, "metadata")
			name, _ := meta["name"].(string)
			namespace, _ := meta["namespace"].(string)
			if namespace == "" {
				namespace = "default"
			}
			labels := mesh.Labels{}
			for k, v := range below(below(fields, path...), "metadata", "labels") {
				labels[k], _ = v.(string)
			}
			out = append(out, analyze.Workload{Ref: mesh.Ref{Group: gv.Group, Kind: kind, Namespace: mesh.Namespace(namespace), Name: name}, Labels: labels})
		}
	}
	return out
}

func below(fields map[string]any, path ...string) map[string]any {
	for _, p := range path {
		fields, _ = fields[p].(map[string]any)
	}
	return fields
}

// addCluster adds the objects of a cluster that no file has.
func (f *analyzing) addCluster(ctx context.Context, m *manifests) error {
	cfg, err := f.open()
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("use the cluster: %w", err)
	}
	have := map[mesh.Ref]bool{}
	for _, o := range m.objects {
		have[o.Ref()] = true
	}
	for _, k := range api.Kinds {
		resource := schema.GroupVersionResource{Group: k.Group, Version: k.Version, Resource: k.Plural}
		for next := ""; ; {
			list, err := client.Resource(resource).List(ctx, metav1.ListOptions{Limit: 500, Continue: next})
			if apierrors.IsNotFound(err) {
				break // the cluster does not have the kind
			}
			if err != nil {
				return fmt.Errorf("read %s of the cluster: %w", k.Plural, err)
			}
			for _, item := range list.Items {
				o, problems := api.FromMap(item.Object)
				if o.Kind != nil && !have[o.Ref()] {
					m.objects = append(m.objects, o)
					m.problems = append(m.problems, problems...)
				}
			}
			if next = list.GetContinue(); next == "" {
				break
			}
		}
	}
	return nil
}
