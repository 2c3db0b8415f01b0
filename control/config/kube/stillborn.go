package kube

import (
	"context"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// lookForStillborn is how often pods are looked at.
const lookForStillborn = 5 * time.Second

// Bury removes pods of a namespace that can never run, until ctx ends: their container leaves everything to the injection, which did not happen, because the pod was
// made before there was a webhook (Helm applies webhooks last). Who made the pod makes another.
func (c *Client) Bury(ctx context.Context, namespace, container string, log *slog.Logger) {
	tick := time.NewTicker(lookForStillborn)
	defer tick.Stop()
	for {
		list, err := c.typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "sidecar.istio.io/inject=true"})
		if err == nil {
			for i := range list.Items {
				if stillborn(&list.Items[i], container) {
					err = c.bury(ctx, &list.Items[i], log)
				}
			}
		}
		if err != nil && ctx.Err() == nil {
			log.Warn("pods that were made before the webhook cannot be looked at; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func stillborn(p *corev1.Pod, container string) bool {
	if p.DeletionTimestamp != nil || p.Annotations["sidecar.istio.io/status"] != "" || len(p.OwnerReferences) == 0 {
		return false
	}
	for _, c := range p.Spec.Containers {
		if c.Name == container && c.Image == "auto" {
			return true
		}
	}
	return false
}

func (c *Client) bury(ctx context.Context, p *corev1.Pod, log *slog.Logger) error {
	uid := p.UID
	err := c.typed.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}, GracePeriodSeconds: new(int64(0))})
	if err == nil {
		log.Info("removed a pod that was made before there was a webhook to inject it", "pod", p.Namespace+"/"+p.Name)
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
