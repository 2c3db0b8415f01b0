package kube

import (
	"log/slog"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestBury(t *testing.T) {
	pod := func(name, image string, change func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "mesh", Name: name, Labels: map[string]string{"sidecar.istio.io/inject": "true"}, OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet"}}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "istio-proxy", Image: image}}}}
		change(p)
		return p
	}
	same := func(*corev1.Pod) {}
	typed := fake.NewClientset(pod("never-injected", "auto", same), pod("runs", "heddle-proxy:1", same),
		pod("injected", "auto", func(p *corev1.Pod) { p.Annotations = map[string]string{"sidecar.istio.io/status": "{}"} }),
		pod("nobody-makes-it-again", "auto", func(p *corev1.Pod) { p.OwnerReferences = nil }),
		pod("elsewhere", "auto", func(p *corev1.Pod) { p.Namespace = "shop" }))
	go (&Client{typed: typed}).Bury(t.Context(), "mesh", "istio-proxy", slog.New(slog.DiscardHandler))
	list := func() []corev1.Pod {
		l, err := typed.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return l.Items
	}
	within(t, "the pod that was never injected goes", func() bool { return len(list()) < 5 })
	for _, p := range list() {
		if p.Name == "never-injected" {
			t.Error("another pod went: ", list())
		}
	}
}
