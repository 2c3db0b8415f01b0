package node

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// validation is the init container that ends with uncaptured when nothing leads the pod's traffic to the proxy. Both are Istio's.
	validation = "istio-validation"
	uncaptured = 126
	// label marks pods that started without capture.
	label = "heddle.dev/uncaptured"

	labelInjection = "istio-injection"
	labelRevision  = "istio.io/rev"
	labelInject    = "sidecar.istio.io/inject"
)

// look sees a pod of this node that is new or has changed.
func (a *Agent) look(ctx context.Context, o any) {
	pod, ok := o.(*corev1.Pod)
	if !ok || pod.DeletionTimestamp != nil {
		return
	}
	if startedUncaptured(pod) && a.seen.first(pod.UID, "uncaptured") {
		if err := a.repair(ctx, pod); err != nil && !apierrors.IsNotFound(err) {
			a.count.repaired.WithLabelValues("failed").Inc()
			a.o.Log.Error("an uncaptured pod is not repaired", "pod", pod.Namespace+"/"+pod.Name, "why", err)
			a.seen.forget(pod.UID) // the kubelet starts the container again, and we look again
		}
	}
	if a.asksInVain(pod) && a.seen.first(pod.UID, "host network") {
		a.event(ctx, pod, "NotInjected", "the pod uses the network of the node (spec.hostNetwork), where capture would take over the node: it has no proxy. Set hostNetwork to false, or the label "+labelInject+" to \"false\"")
	}
}

// startedUncaptured says whether the validation has found that nothing is captured.
func startedUncaptured(pod *corev1.Pod) bool {
	i := slices.IndexFunc(pod.Status.InitContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == validation })
	if i < 0 {
		return false
	}
	s := pod.Status.InitContainerStatuses[i]
	for _, t := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
		if t != nil && t.ExitCode == uncaptured {
			return true
		}
	}
	return false
}

func (a *Agent) repair(ctx context.Context, pod *corev1.Pod) error {
	const why = "the pod started before the node agent had chained its CNI plug-in: nothing leads its traffic to its proxy, and it does not get further"
	log := a.o.Log.With("pod", pod.Namespace+"/"+pod.Name)
	action := a.o.Repair
	if action == RepairDelete && metav1.GetControllerOf(pod) == nil {
		action = RepairLabel
	}
	switch action {
	case RepairDelete:
		a.event(ctx, pod, "NotCaptured", why+"; it is deleted, so that another is made")
		uid := pod.UID
		if err := a.o.Kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}); err != nil {
			return err
		}
	case RepairLabel:
		a.event(ctx, pod, "NotCaptured", why+"; delete it, so that another is made (it has the label "+label+")")
		patch := fmt.Sprintf(`{"metadata":{"uid":%q,"labels":{%q:"true"}}}`, pod.UID, label)
		if _, err := a.o.Kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			return err
		}
	default:
		a.event(ctx, pod, "NotCaptured", why+"; delete it, so that another is made")
	}
	a.count.repaired.WithLabelValues(map[Repair]string{RepairDelete: "deleted", RepairLabel: "labelled", RepairNothing: "none"}[action]).Inc()
	log.Info("a pod started without capture", "action", string(action))
	return nil
}

// asksInVain says whether a pod on the node's network, or its namespace, asks for a proxy.
func (a *Agent) asksInVain(pod *corev1.Pod) bool {
	if !pod.Spec.HostNetwork || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return false
	}
	switch pod.Labels[labelInject] {
	case "true":
		return true
	case "false":
		return false
	}
	ns, err := a.spaces.Get(pod.Namespace)
	if err != nil {
		return false
	}
	injection, said := ns.Labels[labelInjection]
	return injection == "enabled" || !said && ns.Labels[labelRevision] != ""
}

// event tells the pod's owner. It has a name of its own per pod and reason, so that each is told once whatever number of agents come after each other.
func (a *Agent) event(ctx context.Context, pod *corev1.Pod, reason, message string) {
	now := metav1.Now()
	e := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: pod.Namespace, Name: fmt.Sprintf("%.200s.%s.%s", pod.Name, pod.UID, map[string]string{"NotInjected": "1", "NotCaptured": "2"}[reason])},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion},
		Type:           corev1.EventTypeWarning, Reason: reason, Message: message, FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source: corev1.EventSource{Component: "heddle-node", Host: a.o.Node}, ReportingController: "heddle.dev/node", ReportingInstance: a.o.Node,
	}
	if _, err := a.o.Kube.CoreV1().Events(pod.Namespace).Create(ctx, e, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		a.o.Log.Warn("an event cannot be written", "pod", pod.Namespace+"/"+pod.Name, "reason", reason, "why", err)
	}
}

// once remembers what was done for which pod.
type once struct {
	mu   sync.Mutex
	done map[types.UID]map[string]bool
}

func newOnce() *once { return &once{done: map[types.UID]map[string]bool{}} }

// most bounds what is remembered; whoever is forgotten is told again, which changes nothing.
const most = 10_000

func (o *once) first(uid types.UID, what string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done[uid][what] {
		return false
	}
	if len(o.done) >= most {
		clear(o.done)
	}
	if o.done[uid] == nil {
		o.done[uid] = map[string]bool{}
	}
	o.done[uid][what] = true
	return true
}

func (o *once) forget(uid types.UID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.done, uid)
}
