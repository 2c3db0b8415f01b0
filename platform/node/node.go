// Package node is the node agent: it makes the chained CNI plug-in known to the node's container runtime, tells it what of each pod is to be captured, and looks after pods
// that started without it.
//
// In: the pods of this node and the namespaces, from the Kubernetes API. Out: files of the node (data/node/chain), answers to the plug-in (data/node/enrol), events, and labels
// or deletions of uncaptured pods. What is captured stays captured without the agent: rules are in the pods' namespaces.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/heddle-mesh/heddle/data/node/chain"
	"github.com/heddle-mesh/heddle/data/node/enrol"
)

// Options are what an agent is told.
type Options struct {
	Node                 string // name of this node
	Namespace, DaemonSet string // of the agent itself
	Socket               string // where the plug-in asks
	HTTPAddress          string // of /ready, /captures and /metrics
	Place                chain.Place
	Repair               Repair
	Pinned               func() bool  // whether there are kernel programs on the node; nil for none
	Unpin                func() error // takes them away, when the node is left and no pod needs them
	Kube                 kubernetes.Interface
	Log                  *slog.Logger
}

// Repair says what becomes of pods that started without capture.
type Repair string

// Pods that have no controller are labelled, never deleted: nobody would make them anew.
const (
	RepairNothing Repair = "none"
	RepairLabel   Repair = "label"
	RepairDelete  Repair = "delete"
)

// Agent is a running node agent.
type Agent struct {
	o         Options
	pods      corelisters.PodLister
	spaces    corelisters.NamespaceLister
	synced    func() bool
	installed atomic.Bool
	count     *metrics
	seen      *once
	captures  *captures
}

// New makes an agent that has not begun.
func New(o Options) (*Agent, *prometheus.Registry) {
	r := prometheus.NewRegistry()
	m := newMetrics(r)
	return &Agent{o: o, count: m, seen: newOnce(), captures: newCaptures(o.Socket, m.captures)}, r
}

// Run works until the context ends. Then it takes the plug-in from the node if the agent is being removed, and leaves it if the agent is only replaced: then pods that start
// meanwhile wait for the next agent.
func (a *Agent) Run(ctx context.Context, registry *prometheus.Registry) error {
	l, err := enrol.Listen(a.o.Socket)
	if err != nil {
		return err
	}
	a.captures.read()
	pages := &http.Server{Handler: a.pages(registry), ReadHeaderTimeout: 5 * time.Second}
	var lc net.ListenConfig
	web, err := lc.Listen(ctx, "tcp", a.o.HTTPAddress)
	if err != nil {
		return errors.Join(fmt.Errorf("listen for /ready and /metrics: %w", err), l.Close())
	}
	parts := []func() error{
		func() error { return enrol.Serve(ctx, l, a) },
		func() error { return a.o.Place.Watch(ctx, a.placed) },
		func() error {
			if err := pages.Serve(web); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve /ready and /metrics: %w", err)
			}
			return nil
		},
	}
	a.watch(ctx)
	ended := make(chan error, len(parts))
	for _, part := range parts {
		go func() { ended <- part() }()
	}
	var first error
	left := len(parts)
	select {
	case first = <-ended:
		left--
	case <-ctx.Done():
	}
	a.installed.Store(false)
	if ctx.Err() == nil {
		return errors.Join(first, pages.Close()) // a part failed: the process ends, and the next agent goes on
	}
	err = errors.Join(first, pages.Close())
	for range left { // nothing writes any more when the node is left
		err = errors.Join(err, <-ended)
	}
	return errors.Join(err, a.leave())
}

// placed hears what the watch of the node's files did.
func (a *Agent) placed(changed []string, err error) {
	switch {
	case errors.Is(err, chain.ErrNoNetwork):
		a.o.Log.Info("waiting for the network of the cluster", "why", err)
	case err != nil:
		a.o.Log.Error("the CNI plug-in is not in place", "why", err)
	default:
		a.o.Log.Info("the CNI plug-in is in place", "changed", changed)
	}
	a.count.placed(len(changed) > 0 && a.installed.Load())
	a.installed.Store(err == nil)
}

// watch begins to follow the pods of this node, and the namespaces.
func (a *Agent) watch(ctx context.Context) {
	mine := informers.NewSharedInformerFactoryWithOptions(a.o.Kube, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", a.o.Node).String()
	}))
	all := informers.NewSharedInformerFactory(a.o.Kube, 0)
	pods, spaces := mine.Core().V1().Pods(), all.Core().V1().Namespaces()
	a.pods, a.spaces = pods.Lister(), spaces.Lister()
	space := spaces.Informer()
	informer := pods.Informer()
	handled, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { a.look(ctx, o) },
		UpdateFunc: func(_, o any) { a.look(ctx, o) },
	})
	if err != nil {
		panic(err) // only an informer that has ended takes no handler
	}
	a.synced = func() bool { return handled.HasSynced() && space.HasSynced() }
	all.Start(ctx.Done())
	go func() {
		// Pods are looked at when the labels of their namespaces are known.
		if cache.WaitForCacheSync(ctx.Done(), space.HasSynced) {
			mine.Start(ctx.Done())
		}
	}()
}

// pages are /ready, /captures and /metrics.
func (a *Agent) pages(registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		switch {
		case !a.installed.Load():
			http.Error(w, "the CNI plug-in is not in place", http.StatusServiceUnavailable)
		case !a.synced():
			http.Error(w, "the pods of this node are not known yet", http.StatusServiceUnavailable)
		}
	})
	mux.Handle("GET /captures", a.captures)
	mux.Handle("GET /metrics", a.count.handler(registry))
	return mux
}
