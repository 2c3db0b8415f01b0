package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/heddle-mesh/heddle/data/node/cni"
)

// leave takes everything from the node if the agent is being removed.
func (a *Agent) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	going, why := a.removed(ctx)
	if !going {
		a.o.Log.Info("the CNI plug-in stays: pods that start wait for the next agent", "why", why)
		return nil
	}
	a.o.Log.Info("the CNI plug-in is removed", "why", why)
	err := errors.Join(a.o.Place.Remove(), remove(a.o.Socket), a.captures.remove())
	if a.o.Pinned == nil || !a.o.Pinned() {
		return err
	}
	if pods := a.captured(); pods != "" {
		a.o.Log.Warn("kernel programs stay on this node, because without them these pods may call past their proxies; heddle-node remove takes them away", "pods", pods)
		return err
	}
	return errors.Join(err, a.o.Unpin())
}

// captured names pods of this node that run and may be captured by kernel programs, "" for none. Rules of the packet filter are in the pods and need nobody; programs are the node's.
func (a *Agent) captured() string {
	if !a.synced() {
		return "which are not known"
	}
	all, err := a.pods.List(labels.Everything())
	if err != nil {
		return "which are not known: " + err.Error()
	}
	var names []string
	for _, p := range all {
		if p.Annotations[cni.Annotation] != "" && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			names = append(names, p.Namespace+"/"+p.Name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the socket: %w", err)
	}
	return nil
}

// removed says whether no agent comes after this one. Without an answer another one comes: pods that wait are better than pods that nobody protects.
func (a *Agent) removed(ctx context.Context) (bool, string) {
	d, err := a.o.Kube.AppsV1().DaemonSets(a.o.Namespace).Get(ctx, a.o.DaemonSet, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return true, "there is no DaemonSet " + a.o.DaemonSet + " any more"
	case apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err):
		return true, "the agent has lost its rights, as it does when it is removed"
	case err != nil:
		return false, "the Kubernetes API does not say whether the agent is being removed: " + err.Error()
	case d.DeletionTimestamp != nil:
		return true, "the DaemonSet " + a.o.DaemonSet + " is being removed"
	}
	return false, "the agent is only replaced"
}
