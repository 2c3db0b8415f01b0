package inject

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const (
	keyStatus    = "sidecar.istio.io/status"
	keyOverrides = "proxy.istio.io/overrides"
	keyCapture   = "heddle.dev/capture" // what the node agent captures: a JSON array of arguments
)

// added is what an injection has added; the pod's annotation sidecar.istio.io/status holds it, so that the next one can begin anew.
type added struct {
	InitContainers   []string `json:"initContainers"`
	Containers       []string `json:"containers"`
	Volumes          []string `json:"volumes"`
	ImagePullSecrets []string `json:"imagePullSecrets"`
	Revision         string   `json:"revision"`
}

// kept are containers of the pod's author under our names: what they say goes before what we say. The annotation proxy.istio.io/overrides holds them.
type kept struct {
	Containers     []corev1.Container `json:"containers,omitempty"`
	InitContainers []corev1.Container `json:"initContainers,omitempty"`
}

func (k kept) empty() bool { return len(k.Containers)+len(k.InitContainers) == 0 }

// container finds one among both: a native sidecar may be written in either place.
func (k kept) container(name string) *corev1.Container {
	for _, list := range [][]corev1.Container{k.Containers, k.InitContainers} {
		if i := named(list, name); i >= 0 {
			return &list[i]
		}
	}
	return nil
}

func (k kept) init(name string) *corev1.Container {
	if i := named(k.InitContainers, name); i >= 0 {
		return &k.InitContainers[i]
	}
	return nil
}

func named(list []corev1.Container, name string) int {
	return slices.IndexFunc(list, func(c corev1.Container) bool { return c.Name == name })
}

// strip gives a copy of the pod as its author wrote it, without the containers under our names, which come beside it.
func strip(in *corev1.Pod) (*corev1.Pod, kept, error) {
	pod := in.DeepCopy()
	spec := &pod.Spec
	delete(pod.Annotations, keyCapture)
	text, again := pod.Annotations[keyStatus]
	if !again {
		own := func(c corev1.Container) bool {
			return c.Name == ProxyContainer || c.Name == InitContainer || c.Name == ValidationContainer
		}
		var k kept
		k.Containers, spec.Containers = part(spec.Containers, own)
		k.InitContainers, spec.InitContainers = part(spec.InitContainers, own)
		return pod, k, nil
	}
	var was added
	if err := json.Unmarshal([]byte(text), &was); err != nil {
		return nil, kept{}, Refusal{annotation(keyStatus), "want what an injection writes: " + err.Error() + "; remove the annotation"}
	}
	var k kept
	if text, said := pod.Annotations[keyOverrides]; said {
		if err := json.Unmarshal([]byte(text), &k); err != nil {
			return nil, kept{}, Refusal{annotation(keyOverrides), "want what an injection writes: " + err.Error() + "; remove the annotation"}
		}
	}
	ours, ourInit := []corev1.Container(nil), []corev1.Container(nil)
	ours, spec.Containers = part(spec.Containers, func(c corev1.Container) bool { return slices.Contains(was.Containers, c.Name) })
	ourInit, spec.InitContainers = part(spec.InitContainers, func(c corev1.Container) bool { return slices.Contains(was.InitContainers, c.Name) })
	untellPrograms(spec)
	_, spec.Volumes = part(spec.Volumes, func(v corev1.Volume) bool { return slices.Contains(was.Volumes, v.Name) })
	_, spec.ImagePullSecrets = part(spec.ImagePullSecrets, func(r corev1.LocalObjectReference) bool { return slices.Contains(was.ImagePullSecrets, r.Name) })
	if c := (kept{Containers: ours, InitContainers: ourInit}).container(ProxyContainer); c != nil {
		for _, e := range c.Env {
			if e.Name == proberEnv {
				return pod, k, restore(pod, strings.ReplaceAll(e.Value, "$$(", "$("))
			}
		}
	}
	return pod, k, nil
}

// part divides a list; a part without elements is nil.
func part[T any](list []T, first func(T) bool) (yes, no []T) {
	for _, x := range list {
		if first(x) {
			yes = append(yes, x)
		} else {
			no = append(no, x)
		}
	}
	return yes, no
}

// mark gives the pod the labels by which others know what it is.
func (b *builder) mark() {
	l := b.pod.Labels
	if l == nil {
		l = map[string]string{}
	}
	if !b.wants.gateway && !b.wants.grpc { // a gateway speaks what its servers say, and a gRPC library what its program asks for
		set(l, "security.istio.io/tlsMode", "istio")
	}
	set(l, "service.istio.io/canonical-name", first(l["app.kubernetes.io/name"], l["app"], workload(b.r)))
	set(l, "service.istio.io/canonical-revision", first(l["app.kubernetes.io/version"], l["version"], "latest"))
	b.pod.Labels = l
}

func set(m map[string]string, key, value string) {
	if _, said := m[key]; !said && value != "" {
		m[key] = value
	}
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// workload is the name of what made the pod: a ReplicaSet's is its Deployment's with a hash behind it.
func workload(r Request) string {
	if r.Workload != "" {
		return r.Workload
	}
	for _, o := range r.Pod.OwnerReferences {
		if o.Controller == nil || !*o.Controller {
			continue
		}
		if hash := r.Pod.Labels["pod-template-hash"]; o.Kind == "ReplicaSet" && hash != "" {
			return strings.TrimSuffix(o.Name, "-"+hash)
		}
		if o.Kind == "Job" { // of a CronJob, it has the minute of its time behind its name
			if i := strings.LastIndexByte(o.Name, '-'); i > 0 && len(o.Name)-i-1 == 8 && strings.Trim(o.Name[i+1:], "0123456789") == "" {
				return o.Name[:i]
			}
		}
		return o.Name
	}
	return first(r.Pod.Name, strings.TrimSuffix(r.Pod.GenerateName, "-"))
}

// sign writes down what was added.
func (b *builder) sign(a added) {
	for _, name := range b.s.ImagePullSecrets {
		if !slices.ContainsFunc(b.pod.Spec.ImagePullSecrets, func(r corev1.LocalObjectReference) bool { return r.Name == name }) {
			b.pod.Spec.ImagePullSecrets = append(b.pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
			a.ImagePullSecrets = append(a.ImagePullSecrets, name)
		}
	}
	a.Revision = b.s.Revision
	notes := maps.Clone(b.pod.Annotations)
	if notes == nil {
		notes = map[string]string{}
	}
	notes[keyStatus] = text(a)
	notes[labelRevision] = b.s.Revision
	if b.s.CNI && b.captures() {
		notes[keyCapture] = text(b.captureArgs())
	}
	if !b.kept.empty() {
		notes[keyOverrides] = text(b.kept)
	}
	// kubectl logs and exec go to the application, not to the proxy.
	if apps := b.r.Pod.Spec.Containers; !b.wants.gateway {
		for _, c := range apps {
			if !slices.Contains(a.Containers, c.Name) {
				set(notes, "kubectl.kubernetes.io/default-container", c.Name)
				set(notes, "kubectl.kubernetes.io/default-logs-container", c.Name)
				break
			}
		}
	}
	b.pod.Annotations = notes
}

// text is JSON; the types here always have one.
func text(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(raw)
}
