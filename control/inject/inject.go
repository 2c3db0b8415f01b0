// Package inject puts a proxy beside the containers of a pod, by Istio's rules.
//
// In: a pod, what is known of its namespace and owner, and the mesh's Settings. Out: the pod with its proxy, or why it gets none, or what its author must
// change; and a JSON patch that makes the one of the other. Everything is a pure function: the webhook and `heddle inject` give the same bytes.
package inject

import (
	"cmp"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// The names of what is added are Istio's, because tools look for them.
const (
	ProxyContainer      = "istio-proxy"
	InitContainer       = "istio-init"
	ValidationContainer = "istio-validation"
)

// ports of a proxy, as in ARCHITECTURE.md.
const (
	outboundPort = 15001
	inboundPort  = 15006
	adminPort    = 15000
	readyPort    = 15021
	statsPort    = 15090
)

// Request is one pod and what surrounds it.
type Request struct {
	Pod       *corev1.Pod
	Namespace string // of the pod, when the pod does not say
	// Labels are those of the namespace. With Selected they are not looked at: the API's webhook selectors have decided already, and know more than a watch.
	Labels   map[string]string
	Selected bool
	// Workload is the name of what made the pod (Deployment, Job, ...); "" is found out from the pod's owner.
	Workload string
}

// Outcome is the injected pod, or why there is none.
type Outcome struct {
	Pod      *corev1.Pod // nil: nothing is to be done
	Skipped  string      // why, one sentence
	Warnings []string    // what the pod asks for in vain, one sentence each
}

// Refusal is a mistake in a pod, or something that it asks for and that cannot be given.
type Refusal struct{ Field, Message string }

// Error is one sentence that begins with the field's path.
func (r Refusal) Error() string { return r.Field + ": " + r.Message }

// Inject decides and injects. Its error joins Refusals. Injecting twice gives the same as injecting once.
func Inject(s *Settings, r Request) (Outcome, error) {
	if r.Namespace = cmp.Or(r.Pod.Namespace, r.Namespace); r.Namespace == "" {
		r.Namespace = "default"
	}
	if why := s.Skip(r); why != "" {
		return Outcome{Skipped: why}, nil
	}
	pod, kept, err := strip(r.Pod)
	if err != nil {
		return Outcome{}, err
	}
	b := &builder{s: s, r: r, pod: pod, kept: kept}
	if err := b.read(); err != nil {
		return Outcome{}, err
	}
	if err := b.build(); err != nil {
		return Outcome{}, err
	}
	return Outcome{Pod: b.pod, Warnings: b.warnings}, nil
}

// builder is one injection under way.
type builder struct {
	s        *Settings
	r        Request
	pod      *corev1.Pod
	kept     kept // what the pod had under our names
	wants    wants
	warnings []string
	faults   []error
}

// build adds everything; what comes later may look at what came before.
func (b *builder) build() error {
	if b.wants.gateway && b.kept.container(ProxyContainer) == nil {
		return Refusal{"spec.containers", "the template gateway needs a container " + ProxyContainer + " with the image auto; add it, or use the template sidecar"}
	}
	b.mark()
	probers := b.probes()
	proxy, err := b.overlay("spec.containers", b.proxy(probers), b.kept.container(ProxyContainer))
	if err != nil {
		return err
	}
	b.tellPrograms()
	var init []corev1.Container
	if b.captures() {
		ours := b.capture()
		c, err := b.overlay("spec.initContainers", ours, b.kept.init(ours.Name))
		if err != nil {
			return err
		}
		init = append(init, c)
	}
	before := len(b.pod.Spec.Volumes)
	b.volumes()
	added := added{Volumes: names(b.pod.Spec.Volumes[before:], func(v corev1.Volume) string { return v.Name })}
	b.place(proxy, init, &added)
	if err := b.templates(&added); err != nil {
		return err
	}
	b.sign(added)
	return errors.Join(b.faults...)
}

// place puts the containers where they start in time: a native sidecar before all others, so that these are in the mesh; else the capture is the last to begin,
// since nothing gets through before the proxy runs.
func (b *builder) place(proxy corev1.Container, init []corev1.Container, added *added) {
	spec := &b.pod.Spec
	for _, c := range init {
		added.InitContainers = append(added.InitContainers, c.Name)
	}
	switch {
	case b.wants.native:
		added.InitContainers = append(added.InitContainers, proxy.Name)
		spec.InitContainers = append(append(init, proxy), spec.InitContainers...)
		return
	case b.wants.hold:
		spec.Containers = append([]corev1.Container{proxy}, spec.Containers...)
	default:
		spec.Containers = append(spec.Containers, proxy)
	}
	added.Containers = []string{proxy.Name}
	spec.InitContainers = append(spec.InitContainers, init...)
}

func (b *builder) warn(format string, args ...any) {
	b.warnings = append(b.warnings, fmt.Sprintf(format, args...))
}

func (b *builder) refuse(field, format string, args ...any) {
	b.faults = append(b.faults, Refusal{field, fmt.Sprintf(format, args...)})
}

func names[T any](list []T, name func(T) string) (out []string) {
	for _, x := range list {
		out = append(out, name(x))
	}
	return out
}
