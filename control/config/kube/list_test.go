package kube

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/heddle-mesh/heddle/api"
)

const largePod = `
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web}, annotations: {sidecar.istio.io/status: "{}"}, managedFields: [{manager: kubelet}]}
spec:
  nodeName: node-1
  serviceAccountName: web
  hostNetwork: true
  volumes: [{name: tmp, emptyDir: {}}]
  initContainers: [{name: istio-proxy, image: proxy, ports: [{name: stats, containerPort: 15090}]}]
  containers: [{name: app, image: web, env: [{name: A, value: b}], ports: [{name: http, containerPort: 8080}]}, {name: other, image: other}]
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}], conditions: [{type: Ready, status: "True"}], containerStatuses: [{name: app, ready: true}]}
`

var pods = api.Find(api.GroupCore, "Pod")

// TestListReadsPages: the API is asked for a page at a time, at the newest version, and gives every object.
func TestListReadsPages(t *testing.T) {
	var asked []metav1.ListOptions
	read := func(_ context.Context, o metav1.ListOptions) (*unstructured.UnstructuredList, error) {
		asked = append(asked, o)
		page := &unstructured.UnstructuredList{Items: []unstructured.Unstructured{*thing(t, largePod)}}
		page.Items[0].SetName(fmt.Sprintf("web-%d", len(asked)))
		page.SetResourceVersion("7")
		if len(asked) < 3 {
			page.SetContinue(fmt.Sprintf("after-%d", len(asked)))
		}
		return page, nil
	}
	all, err := list(t.Context(), pods, read, metav1.ListOptions{ResourceVersion: "0", FieldSelector: "a=b"})
	if err != nil || len(all.Items) != 3 || all.Items[2].GetName() != "web-3" || all.GetResourceVersion() != "7" || all.GetContinue() != "" {
		t.Fatal(all, err)
	}
	for i, want := range []string{"", "after-1", "after-2"} {
		if o := asked[i]; o.Continue != want || o.Limit != pageSize || o.ResourceVersion != "" || o.FieldSelector != "a=b" {
			t.Errorf("page %d was asked for with %+v", i, o)
		}
	}
	broken := errors.New("the continue token is too old")
	if _, err := list(t.Context(), pods, func(context.Context, metav1.ListOptions) (*unstructured.UnstructuredList, error) { return nil, broken }, metav1.ListOptions{}); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// TestSlimPodMeansTheSame: what a list leaves out is what nobody reads.
func TestSlimPodMeansTheSame(t *testing.T) {
	whole, small := thing(t, largePod), thing(t, largePod)
	slim(pods, small)
	if _, there, _ := unstructured.NestedFieldNoCopy(small.Object, "spec", "volumes"); there || small.GetManagedFields() != nil {
		t.Error("a list keeps all of a pod")
	}
	a, _ := decode(pods, whole)
	b, _ := decode(pods, small)
	if !reflect.DeepEqual(a, b) {
		t.Errorf("a whole pod means\n%+v\nand a slim one\n%+v", a, b)
	}
	if p := b.Spec.(*corev1.Pod); p.Spec.NodeName != "node-1" || len(p.Spec.InitContainers) != 1 || len(p.Spec.Containers) != 1 || p.Status.PodIP != "10.0.0.1" {
		t.Errorf("%+v", p)
	}
}
