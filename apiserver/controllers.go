package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/restmapper"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
)

// collectAfter is how long after the start the garbage collector begins. It lists
// every kind, which makes the server compile the rules of every definition: work
// that is better not done while the first users wait.
const collectAfter = 5 * time.Second

// startControllers runs the three of upstream's controllers without which the
// API itself does not keep its promises: namespaces that are deleted go away,
// each namespace has a default account, and objects go with their owner.
// They run until ctx ends, in goroutines of their own.
func (c *chain) startControllers(ctx context.Context) error {
	meta, err := metadata.NewForConfig(c.loopback)
	if err != nil {
		return fmt.Errorf("metadata client: %w", err)
	}
	accounts, err := serviceaccount.NewServiceAccountsController(klog.FromContext(ctx),
		c.informers.Core().V1().ServiceAccounts(), c.informers.Core().V1().Namespaces(),
		c.client, serviceaccount.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return fmt.Errorf("service account controller: %w", err)
	}
	namespaces := namespace.NewNamespaceController(ctx, c.client, meta,
		c.client.Discovery().ServerPreferredNamespacedResources,
		c.informers.Core().V1().Namespaces(), 5*time.Minute, corev1.FinalizerKubernetes)

	c.informers.Start(ctx.Done())
	go accounts.Run(ctx, 1)
	go namespaces.Run(ctx, 2)
	return nil
}

// collectGarbage deletes objects whose owners are gone, until ctx ends.
func (c *chain) collectGarbage(ctx context.Context) error {
	meta, err := metadata.NewForConfig(c.loopback)
	if err != nil {
		return fmt.Errorf("metadata client: %w", err)
	}
	cached := memory.NewMemCacheClient(c.client.Discovery())
	started := make(chan struct{})
	owners := informerfactory.NewInformerFactory(c.informers, metadatainformer.NewSharedInformerFactory(meta, 12*time.Hour))
	collector, err := garbagecollector.NewGarbageCollector(ctx, c.client, meta,
		restmapper.NewDeferredDiscoveryRESTMapper(cached), garbagecollector.DefaultIgnoredResources(), owners, started)
	if err != nil {
		return fmt.Errorf("garbage collector: %w", err)
	}
	close(started)
	const resync = 30 * time.Second
	go collector.Run(ctx, 2, resync)
	go collector.Sync(ctx, c.client.Discovery(), resync)
	return nil
}
