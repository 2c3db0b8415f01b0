package kube

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// leaseName is the Lease by which replicas agree on one that writes status.
const leaseName = "heddled-leader"

// Lead runs work whenever this replica is the leader, until ctx ends; work's own context ends when the lead is lost.
func (c *Client) Lead(ctx context.Context, namespace string, log *slog.Logger, work func(context.Context)) error {
	host, _ := os.Hostname()
	id := fmt.Sprintf("%s-%d-%d", host, os.Getpid(), time.Now().UnixNano())
	c.EnsureNamespace(ctx, namespace, log)
	lock := &resourcelock.LeaseLock{LeaseMeta: metav1.ObjectMeta{Namespace: namespace, Name: leaseName}, Client: c.typed.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: id}}
	for ctx.Err() == nil {
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second, ReleaseOnCancel: true, Name: leaseName,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					log.Info("this replica leads: it writes status", "lease", namespace+"/"+leaseName)
					work(ctx)
				},
				OnStoppedLeading: func() {},
			},
		})
		if err != nil {
			return fmt.Errorf("elect a leader: %w", err)
		}
		elector.Run(ctx)
	}
	return nil
}

// EnsureNamespace makes the root namespace of the mesh, where mesh-wide policies live too; without the right to do so it must exist.
func (c *Client) EnsureNamespace(ctx context.Context, name string, log *slog.Logger) {
	_, err := c.typed.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{FieldManager: fieldManager})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		if _, there := c.typed.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{}); there != nil {
			log.Warn("the root namespace cannot be made; rules for the whole mesh have no place until it is", "namespace", name, "error", c.explain(err))
		}
	}
}
