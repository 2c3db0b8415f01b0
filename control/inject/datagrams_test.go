package inject

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestDatagramsAreCapturedWhereAsked: the pod counts more than the installation, and what cannot be is told to who asked for it.
func TestDatagramsAreCapturedWhereAsked(t *testing.T) {
	const mode = "sidecar.istio.io/interceptionMode"
	for _, x := range []struct {
		config string
		notes  marks
		want   bool
		told   string
	}{
		{"", nil, false, ""},
		{"", marks{keyCaptureUDP: "true"}, true, ""},
		{"", marks{keyCaptureUDP: "true", mode: "TPROXY"}, true, ""},
		{"captureUDP: true", nil, true, ""},
		{"captureUDP: true", marks{keyCaptureUDP: "false"}, false, ""},
		{"captureUDP: true", marks{mode: "NONE"}, false, ""},
		{"", marks{keyCaptureUDP: "true", mode: "NONE"}, false, "nothing of this pod is captured"},
		{"captureUDP: true\nproxy: envoy", nil, false, "Envoy cannot find out"},
		{"captureUDP: true\nproxy: envoy", marks{keyProxy: Heddle}, true, ""},
	} {
		out, err := Inject(testSettings(t, x.config), Request{Pod: pod(nil, x.notes), Namespace: "shop", Selected: true})
		if err != nil {
			t.Fatal(err)
		}
		all := slices.Concat(out.Pod.Spec.InitContainers, out.Pod.Spec.Containers)
		args := func(name, arg string) bool {
			i := slices.IndexFunc(all, func(c corev1.Container) bool { return c.Name == name })
			return i >= 0 && slices.Contains(all[i].Args, arg)
		}
		if proxy, capture := args(ProxyContainer, "--capture-udp"), args(InitContainer, "--redirect-udp"); proxy != x.want || capture != x.want {
			t.Errorf("%s %v: the proxy captures %t, the pod %t, want %t", x.config, x.notes, proxy, capture, x.want)
		}
		if told := strings.Join(out.Warnings, " "); x.told == "" && strings.Contains(told, "atagram") || !strings.Contains(told, x.told) {
			t.Errorf("%s %v: told %q, want %q", x.config, x.notes, told, x.told)
		}
	}
	_, err := Inject(testSettings(t, ""), Request{Pod: pod(nil, marks{keyCaptureUDP: "perhaps"}), Namespace: "shop", Selected: true})
	if err == nil || !strings.Contains(err.Error(), keyCaptureUDP) {
		t.Errorf("%v", err)
	}
}
