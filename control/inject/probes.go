package inject

import (
	"cmp"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Prober is one probe as the proxy makes it in the kubelet's place, in Istio's JSON (ISTIO_KUBE_APP_PROBERS).
type Prober struct {
	HTTPGet        *corev1.HTTPGetAction   `json:"httpGet,omitempty"`
	TCPSocket      *corev1.TCPSocketAction `json:"tcpSocket,omitempty"`
	GRPC           *corev1.GRPCAction      `json:"grpc,omitempty"`
	TimeoutSeconds int32                   `json:"timeoutSeconds,omitempty"`
}

// containers are those of the pod that may have probes, with where they are.
func containers(pod *corev1.Pod, each func(c *corev1.Container, field string)) {
	for i := range pod.Spec.InitContainers {
		each(&pod.Spec.InitContainers[i], fmt.Sprintf("spec.initContainers[%d]", i))
	}
	for i := range pod.Spec.Containers {
		each(&pod.Spec.Containers[i], fmt.Sprintf("spec.containers[%d]", i))
	}
}

type probe struct {
	name, path, field string
	probe             *corev1.Probe
}

func probesOf(c *corev1.Container) []probe {
	at := "/app-health/" + c.Name
	return []probe{{"livez", at + "/livez", "livenessProbe", c.LivenessProbe}, {"readyz", at + "/readyz", "readinessProbe", c.ReadinessProbe}, {"startupz", at + "/startupz", "startupProbe", c.StartupProbe}}
}

// probes leads the kubelet's probes to the proxy: the kubelet has no certificate, and a TCP probe would only find the proxy's own port. It gives the JSON of
// what the proxy probes.
func (b *builder) probes() string {
	if !b.wants.rewrite {
		return ""
	}
	probers := map[string]Prober{}
	containers(b.pod, func(c *corev1.Container, field string) {
		for _, p := range probesOf(c) {
			if p.probe == nil {
				continue
			}
			if prober, ok := b.prober(c, p.probe, field+"."+p.field); ok {
				probers[p.path] = prober
				p.probe.ProbeHandler = corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: p.path, Port: intstr.FromInt32(b.wants.statusPort), Scheme: corev1.URISchemeHTTP}}
			}
		}
	})
	if len(probers) == 0 {
		return ""
	}
	text, err := json.Marshal(probers)
	if err != nil {
		b.refuse("spec.containers", "write the probes: %v", err)
	}
	return string(text)
}

// prober says what the proxy is to probe; false for a probe that the kubelet makes as before: one inside the container, or of another host.
func (b *builder) prober(c *corev1.Container, p *corev1.Probe, field string) (Prober, bool) {
	out := Prober{TimeoutSeconds: cmp.Or(p.TimeoutSeconds, 1)}
	switch h := p.ProbeHandler; {
	case h.HTTPGet != nil && h.HTTPGet.Host == "":
		get := *h.HTTPGet
		get.Path, get.Scheme = cmp.Or(get.Path, "/"), cmp.Or(get.Scheme, corev1.URISchemeHTTP)
		get.Port = b.port(c, get.Port, field+".httpGet.port")
		out.HTTPGet = &get
	case h.TCPSocket != nil && h.TCPSocket.Host == "":
		out.TCPSocket = &corev1.TCPSocketAction{Port: b.port(c, h.TCPSocket.Port, field+".tcpSocket.port")}
	case h.GRPC != nil:
		out.GRPC = &corev1.GRPCAction{Port: h.GRPC.Port}
		if h.GRPC.Service != nil && *h.GRPC.Service != "" {
			out.GRPC.Service = h.GRPC.Service
		}
	default:
		return out, false
	}
	return out, true
}

// port resolves the name of a port of the container.
func (b *builder) port(c *corev1.Container, p intstr.IntOrString, field string) intstr.IntOrString {
	if p.Type == intstr.Int {
		return p
	}
	for _, x := range c.Ports {
		if x.Name == p.StrVal {
			return intstr.FromInt32(x.ContainerPort)
		}
	}
	b.refuse(field, "the container %s has no port %q", c.Name, p.StrVal)
	return p
}

// restore gives the probes back that an earlier injection has led to the proxy.
func restore(pod *corev1.Pod, text string) error {
	var probers map[string]Prober
	if err := json.Unmarshal([]byte(text), &probers); err != nil {
		return Refusal{"spec.containers[" + ProxyContainer + "].env[" + proberEnv + "]", "want the JSON of an injection: " + err.Error()}
	}
	containers(pod, func(c *corev1.Container, _ string) {
		for _, p := range probesOf(c) {
			if p.probe == nil || p.probe.HTTPGet == nil || p.probe.HTTPGet.Path != p.path {
				continue
			}
			if was, ok := probers[p.path]; ok {
				p.probe.ProbeHandler = corev1.ProbeHandler{HTTPGet: was.HTTPGet, TCPSocket: was.TCPSocket, GRPC: was.GRPC}
			}
		}
	})
	return nil
}
