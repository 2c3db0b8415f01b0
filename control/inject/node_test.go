package inject

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// TestTheNodeCapturesTheSame: with the node agent a pod has no privilege, and the agent is told what the init container would have been.
func TestTheNodeCapturesTheSame(t *testing.T) {
	const domain = "traffic.sidecar.istio.io/"
	notes := func() marks {
		return marks{domain + "includeOutboundIPRanges": "10.0.0.0/8", domain + "excludeOutboundIPRanges": "10.1.0.0/16", domain + "includeOutboundPorts": "443", domain + "excludeOutboundPorts": "25",
			domain + "includeInboundPorts": "8080", domain + "excludeInboundPorts": "22", domain + "excludeInterfaces": "eth1", keyProxyConfig: "proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}", "status.sidecar.istio.io/port": "15030"}
	}
	do := func(config string, p *corev1.Pod) *corev1.Pod {
		out, err := Inject(testSettings(t, config), Request{Pod: p, Namespace: "shop", Selected: true})
		if err != nil {
			t.Fatal(err)
		}
		return out.Pod
	}
	byPod, byNode := do("", pod(nil, notes())), do("cni: true", pod(nil, notes()))
	init, validation := byPod.Spec.InitContainers[0], byNode.Spec.InitContainers[0]
	if init.Name != "istio-init" || validation.Name != "istio-validation" || len(byNode.Spec.InitContainers) != 2 {
		t.Fatalf("%v, %v", names(byPod.Spec.InitContainers, name), names(byNode.Spec.InitContainers, name))
	}
	var args []string
	if err := json.Unmarshal([]byte(byNode.Annotations[keyCapture]), &args); err != nil || !slices.Equal(append([]string{"capture"}, args...), init.Args) || !slices.Equal(append(slices.Clone(init.Args), "--verify"), validation.Args) {
		t.Errorf("the init container is %v, the node captures %v (%v), and what is looked at is %v", init.Args, args, err, validation.Args)
	}
	if sc := validation.SecurityContext; !*sc.RunAsNonRoot || *sc.RunAsUser == proxyUser || *sc.RunAsGroup == proxyUser || len(sc.Capabilities.Add) > 0 {
		t.Errorf("it may too much, or would be left alone: %+v", sc)
	}
	if _, told := byPod.Annotations[keyCapture]; told {
		t.Error("the node is told, and the pod captures itself")
	}
	if again := do("cni: true", byNode); !cmp.Equal(again, byNode) {
		t.Error("twice is not once: ", cmp.Diff(byNode, again))
	}
	if back := do("", byNode); !cmp.Equal(back, byPod) {
		t.Error("another way is not the other way: ", cmp.Diff(byPod, back))
	}
	none := pod(nil, marks{"sidecar.istio.io/interceptionMode": "NONE", keyCapture: `["-m","REDIRECT"]`})
	if p := do("cni: true", none); len(p.Spec.InitContainers) != 1 || p.Annotations[keyCapture] != "" {
		t.Errorf("nothing is to be captured: %v, %q", names(p.Spec.InitContainers, name), p.Annotations[keyCapture])
	}
}

func name(c corev1.Container) string { return c.Name }
