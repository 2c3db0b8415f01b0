package server

import (
	"cmp"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	networking "istio.io/api/networking/v1beta1"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/admission"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/control/config/settings"
	"github.com/heddle-mesh/heddle/control/inject"
)

// injector makes the webhook that injects pods. Its settings are read once, but for the ProxyConfig objects.
func (d *Server) injector() (*admission.Injector, error) {
	file, err := inject.ReadConfig(d.opts.InjectConfig)
	if err != nil {
		return nil, err
	}
	defaults, err := settings.ReadProxyConfig(d.opts.MeshConfig)
	if err != nil {
		return nil, err
	}
	fixed := inject.Settings{Config: file, Namespace: d.opts.Namespace, RootNamespace: string(d.meshSettings.RootNamespace), TrustDomain: d.meshSettings.TrustDomain,
		ClusterID: d.opts.ClusterID, Network: d.opts.Network, Mesh: defaults}
	objects := proxyConfigs{store: d.store}
	return &admission.Injector{Log: d.log.With("part", "injection"), Counter: newInjectionCounter(d.metrics), Settings: func() *inject.Settings {
		s := fixed
		s.ProxyConfigs = objects.current()
		return &s
	}}, nil
}

// proxyConfigs are the ProxyConfig objects of the store, looked for again when the store has changed.
type proxyConfigs struct {
	store *config.Store

	mu       sync.Mutex
	revision uint64
	known    bool
	list     []inject.ProxyConfig
}

func (p *proxyConfigs) current() []inject.ProxyConfig {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.store.Revision()
	if p.known && p.revision == now {
		return p.list
	}
	var found []api.Object
	for e := range p.store.All() {
		if o := e.Object; o.Kind != nil && o.Kind.Group == api.GroupNetworking && o.Kind.Kind == "ProxyConfig" && api.Valid(e.Problems) {
			found = append(found, o)
		}
	}
	// The oldest of several with the same scope counts (docs/decisions/003).
	slices.SortFunc(found, func(a, b api.Object) int {
		return cmp.Or(a.Meta.Created.Compare(b.Meta.Created), cmp.Compare(a.Meta.Name, b.Meta.Name))
	})
	p.list = nil
	for _, o := range found {
		if spec, ok := o.Spec.(*networking.ProxyConfig); ok {
			p.list = append(p.list, inject.ProxyConfig{Namespace: o.Meta.Namespace, Name: o.Meta.Name, Spec: spec})
		}
	}
	p.revision, p.known = now, true
	return p.list
}

// injectionCounter counts reviews under the names of Istio's dashboards.
type injectionCounter struct{ requests, injected, skipped, failed prometheus.Counter }

func newInjectionCounter(r prometheus.Registerer) *injectionCounter {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		r.MustRegister(c)
		return c
	}
	return &injectionCounter{
		requests: counter("sidecar_injection_requests_total", "Pods that came for injection."),
		injected: counter("sidecar_injection_success_total", "Pods that got a proxy."),
		skipped:  counter("sidecar_injection_skip_total", "Pods that get none."),
		failed:   counter("sidecar_injection_failure_total", "Pods that were refused."),
	}
}

// Injected counts a pod that got a proxy.
func (c *injectionCounter) Injected() { c.requests.Inc(); c.injected.Inc() }

// Skipped counts a pod that gets none.
func (c *injectionCounter) Skipped() { c.requests.Inc(); c.skipped.Inc() }

// Failed counts a pod that was refused.
func (c *injectionCounter) Failed() { c.requests.Inc(); c.failed.Inc() }
