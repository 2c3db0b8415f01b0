package admission

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/heddle-mesh/heddle/control/inject"
)

// uncounted is an InjectionCounter that forgets.
type uncounted struct{}

func (uncounted) Injected() {}
func (uncounted) Skipped()  {}
func (uncounted) Failed()   {}

// BenchmarkInject is one review of a pod with probes and a volume, without the network.
func BenchmarkInject(b *testing.B) {
	config, err := inject.ParseConfig(nil)
	if err != nil {
		b.Fatal(err)
	}
	h := &Injector{Log: slog.New(slog.DiscardHandler), Counter: uncounted{}, Settings: func() *inject.Settings {
		return &inject.Settings{Config: config, Namespace: "istio-system", RootNamespace: "istio-system", TrustDomain: "cluster.local", ClusterID: "Kubernetes"}
	}}
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(8080)}}}
	pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", Labels: map[string]string{"app": "web", "version": "v1"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "web:1", LivenessProbe: probe, ReadinessProbe: probe, Env: []corev1.EnvVar{{Name: "A", Value: "b"}},
			VolumeMounts: []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}}}}, Volumes: []corev1.Volume{{Name: "tmp"}}}}
	raw, err := json.Marshal(pod)
	if err != nil {
		b.Fatal(err)
	}
	body, err := json.Marshal(admissionv1.AdmissionReview{Request: &admissionv1.AdmissionRequest{UID: "u1", Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, Operation: admissionv1.Create, Namespace: "shop",
		Object: runtime.RawExtension{Raw: raw}}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/inject", bytes.NewReader(body)))
		if !bytes.Contains(rec.Body.Bytes(), []byte(`"patch":`)) {
			b.Fatal(rec.Body.String())
		}
	}
}
