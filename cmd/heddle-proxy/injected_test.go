package main

import (
	"slices"
	"testing"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/heddle-mesh/heddle/control/inject"
)

// TestInjectedArgumentsAreKnown: what injection has the proxy's container say, whatever a pod asks for, is what the command that it names takes.
func TestInjectedArgumentsAreKnown(t *testing.T) {
	config, err := inject.ParseConfig([]byte("{captureUDP: true, nativeSidecars: false}"))
	if err != nil {
		t.Fatal(err)
	}
	s := &inject.Settings{Config: config, Namespace: "istio-system", TrustDomain: "cluster.local", ClusterID: "Kubernetes", Network: "n", Mesh: &meshconfig.ProxyConfig{}}
	for _, template := range []string{"sidecar", "gateway", "grpc-agent"} {
		for _, proxy := range []string{inject.Heddle, inject.Envoy} {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", Labels: map[string]string{"sidecar.istio.io/inject": "true"}, Annotations: map[string]string{
				"inject.istio.io/templates": template, "heddle.dev/proxy": proxy, "proxy.istio.io/config": "{concurrency: 2, terminationDrainDuration: 9s, proxyHeaders: {server: {value: web}}}",
			}}}
			pod.Spec.Containers = []corev1.Container{{Name: "app", LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromInt32(80)}}}}}
			if template == "gateway" {
				pod.Spec.Containers = []corev1.Container{{Name: inject.ProxyContainer, Image: "auto"}}
			}
			out, err := inject.Inject(s, inject.Request{Pod: pod})
			if err != nil || out.Pod == nil {
				t.Fatal(template, proxy, out.Skipped, err)
			}
			for _, c := range slices.Concat(out.Pod.Spec.InitContainers, out.Pod.Spec.Containers) {
				if c.Name != inject.ProxyContainer && c.Name != inject.InitContainer {
					continue
				}
				args := slices.Clone(c.Args)
				if i := slices.Index(args, "$(INSTANCE_IPS)"); i > 0 {
					args[i] = "10.0.0.1,fd00::1" // as the kubelet does
				}
				if i := slices.Index(args, "--"); args[0] == "supervise" && i > 0 {
					args = args[i+1:]
				}
				cmd, rest, err := command(t.Context(), t.Context()).Find(args)
				if err == nil {
					err = cmd.ParseFlags(rest)
				}
				if err != nil {
					t.Errorf("%s %s: %v: %v", template, proxy, args, err)
				}
			}
		}
	}
}
