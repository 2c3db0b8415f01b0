package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// form is one way for a pod to be, or not to be, in the mesh.
type form struct {
	name, namespace string
	annotations     map[string]string
}

// forms take turns; those of the node agent come after it is installed.
var (
	forms = []form{
		{"no mesh", "outside", nil},
		{"heddle-proxy", "shop", nil},
		{"heddle-proxy, classic", "shop", map[string]string{"sidecar.istio.io/nativeSidecar": "false", "proxy.istio.io/config": "holdApplicationUntilProxyStarts: true"}},
		{"Envoy", "shop", map[string]string{"heddle.dev/proxy": "envoy"}},
	}
	nodeForms = []form{{"no mesh, agent on the node", "outside", nil}, {"heddle-proxy, node agent", "shop", nil}, {"Envoy, node agent", "shop", map[string]string{"heddle.dev/proxy": "envoy"}}}
)

// cluster is the lab's.
type cluster struct {
	typed  kubernetes.Interface
	config string
	heddle string
}

// runPodStart measures how long a pod takes from its creation until its first request is answered, on a real cluster (podstart.sh starts one).
func (b *bench) runPodStart(kubeconfig, heddle, pods string) error {
	count, err := strconv.Atoi(pods)
	if err != nil {
		return fmt.Errorf("-pods: want the number of pods of each form: %w", err)
	}
	if kubeconfig == "" || heddle == "" {
		return errors.New("podstart needs -kubeconfig and -heddle; test/bench/podstart.sh gives them")
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	cfg.QPS, cfg.WarningHandler = -1, rest.NoWarnings{}
	c := &cluster{config: kubeconfig, heddle: heddle}
	if c.typed, err = kubernetes.NewForConfig(cfg); err != nil {
		return err
	}
	install := []string{"install", "--profile", "demo", "--set", "gateway.enabled=false"}
	if err := c.run("", heddle, install...); err != nil {
		return err
	}
	if err := c.run(startObjects, "kubectl", "apply", "-f", "-"); err != nil {
		return err
	}
	out := table("pod", "scheduled after", "container runs after", "answered after: p50", "p90", "max", "of that after the program began: p50", "max", "requests")
	if err := c.measure(forms, count, out); err != nil {
		return err
	}
	if err := c.run("", heddle, append(install, "--set", "node.enabled=true")...); err != nil {
		return err
	}
	if err := c.measure(nodeForms, count, out); err != nil {
		return err
	}
	fmt.Printf("\n### From a pod's creation to its first answer, %d pods of each form, one after the other; load %s\n", count, oneLine("/proc/loadavg"))
	out.end()
	return nil
}

// startObjects are a server inside the mesh and one outside.
const startObjects = `{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio-injection: enabled}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: outside}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}, spec: {containers: [{name: app, image: "lab.local/app:1", args: [serve]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: outside, labels: {app: web}}, spec: {containers: [{name: app, image: "lab.local/app:1", args: [serve]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: outside}, spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}}
`

func (c *cluster) run(input, program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Stdin = append(os.Environ(), "KUBECONFIG="+c.config), strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, args[0], err, out)
	}
	return nil
}

// started are the moments of one pod, by the machine's clock, from the call that made it on.
type started struct {
	scheduled, running, begun, answered time.Duration
	requests                            int
	stages                              []string // what containers said, and when
}

// measure starts pods of all forms in turn. The first of each form is not counted: nothing of it is in the caches of kubelet and kernel.
func (c *cluster) measure(list []form, count int, out *tables) error {
	for _, ns := range []string{"shop", "outside"} {
		if err := c.run("", "kubectl", "-n", ns, "wait", "--for=condition=Ready", "pod/web", "--timeout=120s"); err != nil {
			return err
		}
	}
	all := make([][]started, len(list))
	for n := range count + 1 {
		for i, f := range list {
			one, err := c.start(f, fmt.Sprintf("start-%d-%d", i, n))
			if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			if n > 0 {
				all[i] = append(all[i], one)
			}
		}
	}
	for i, f := range list {
		q := func(of func(started) time.Duration) [4]string {
			var list []time.Duration
			for _, one := range all[i] {
				list = append(list, of(one))
			}
			return quantiles(list, time.Millisecond)
		}
		scheduled, begun := q(func(s started) time.Duration { return s.scheduled }), q(func(s started) time.Duration { return s.begun })
		answered, own := q(func(s started) time.Duration { return s.answered }), q(func(s started) time.Duration { return s.answered - s.begun })
		most := slices.MaxFunc(all[i], func(a, b started) int { return a.requests - b.requests }).requests
		out.row(f.name, scheduled[0], begun[0], answered[0], answered[1], answered[3], own[0], own[3], fmt.Sprintf("≤ %d", most))
		last := all[i][len(all[i])-1]
		out.note("%s, the last pod: scheduled %s, %s, program began %s, answered %s, seen running in the API %s.", f.name, ms(last.scheduled), strings.Join(last.stages, ", "), ms(last.begun), ms(last.answered), ms(last.running))
	}
	return nil
}

func ms(d time.Duration) string { return d.Round(time.Millisecond).String() }

// start makes one pod, waits for its answer, and takes it away.
func (c *cluster) start(f form, name string) (s started, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	pods, text := c.typed.CoreV1().Pods(f.namespace), ""
	if f.namespace == "shop" {
		text = "URI=spiffe://" // it came by mutual TLS
	}
	annotations := map[string]string{"sidecar.istio.io/logLevel": "info"}
	for k, v := range f.annotations {
		annotations[k] = v
	}
	w, err := pods.Watch(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()})
	if err != nil {
		return s, err
	}
	defer w.Stop()
	grace := int64(1)
	from := time.Now()
	_, err = pods.Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: f.namespace, Annotations: annotations}, Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: &grace,
		Containers: []corev1.Container{{Name: "app", Image: "lab.local/app:1", Args: []string{"first", "http://web." + f.namespace + "/", text}}}}}, metav1.CreateOptions{})
	if err != nil {
		return s, err
	}
	for e := range w.ResultChan() {
		pod, ok := e.Object.(*corev1.Pod)
		if !ok {
			return s, fmt.Errorf("watch the pod: %w", apierrors.FromObject(e.Object))
		}
		if pod.Spec.NodeName != "" && s.scheduled == 0 {
			s.scheduled = time.Since(from)
		}
		i := slices.IndexFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.Name == "app" })
		if i < 0 {
			continue
		}
		state := pod.Status.ContainerStatuses[i].State
		if (state.Running != nil || state.Terminated != nil) && s.running == 0 {
			s.running = time.Since(from)
		}
		if state.Terminated != nil {
			break
		}
	}
	if ctx.Err() != nil {
		return s, errors.New("the pod has not ended after 2 minutes")
	}
	if err := c.said(ctx, f.namespace, name, from, &s); err != nil {
		return s, err
	}
	if err := pods.Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &grace}); err != nil {
		return s, err
	}
	return s, patience("the pod to go", time.Minute, func() error {
		_, err := pods.Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err == nil:
			err = errors.New("it is there")
		}
		return err
	})
}

// said reads the moments from what the containers printed.
func (c *cluster) said(ctx context.Context, namespace, name string, from time.Time, s *started) error {
	pod, err := c.typed.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, container := range append(slices.Clone(pod.Spec.InitContainers), pod.Spec.Containers...) {
		text, err := c.typed.CoreV1().Pods(namespace).GetLogs(name, &corev1.PodLogOptions{Container: container.Name, Timestamps: true}).DoRaw(ctx)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			at, rest, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
			when, err := time.Parse(time.RFC3339Nano, at)
			if err != nil {
				return fmt.Errorf("log of %s: %w", container.Name, err)
			}
			if container.Name == "app" {
				var begun, answered int64
				if _, err := fmt.Sscan(rest, &begun, &answered, &s.requests); err != nil {
					return fmt.Errorf("the pod says %q", rest)
				}
				s.begun, s.answered = time.Unix(0, begun).Sub(from), time.Unix(0, answered).Sub(from)
				continue
			}
			if word := marks(rest); word != "" {
				s.stages = append(s.stages, fmt.Sprintf("%s %s %s", container.Name, word, ms(when.Sub(from))))
			}
		}
	}
	if s.answered == 0 {
		return errors.New("the pod was not answered")
	}
	return nil
}

// marks are the lines that tell how far a container is.
func marks(line string) string {
	for text, word := range map[string]string{"captured with": "captures", "proxy started": "serves", "certificate received": "has its certificate", "starting main dispatch loop": "serves", "all dependencies initialized": "has its configuration"} {
		if strings.Contains(line, text) {
			return word
		}
	}
	return ""
}
