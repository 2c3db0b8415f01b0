package laptop

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/heddle-mesh/heddle/platform/shop"
)

// startWorkloads puts the ingress and the shop into the mesh, all at once.
func (m *meshRun) startWorkloads(start, inner context.Context) error {
	if err := m.api.apply(start, namespaceObject(ingressNamespace)+"---\n"+namespaceObject(shop.Namespace)); err != nil {
		return err
	}
	all := []*workload{m.ingress()}
	if !m.opts.Empty {
		m.say("starting the shop: %d services, each with a proxy of its own", len(shop.Parts()))
		for _, p := range shop.Parts() {
			all = append(all, sample(p))
		}
	}
	m.mu.Lock()
	m.workloads = append(m.workloads, all...)
	m.mu.Unlock()
	err := eachAtOnce(all, func(w *workload) error {
		if err := m.join(start, w); err != nil {
			return err
		}
		if !w.gateway {
			if err := m.startSample(inner, w); err != nil {
				return err
			}
		}
		return m.startProxy(inner, w)
	})
	if err != nil {
		return err
	}
	objects := gatewayObjects()
	if !m.opts.Empty {
		objects += shopObjects()
	}
	return m.api.apply(start, objects)
}

func (m *meshRun) ingress() *workload {
	return &workload{
		name: ingressName, namespace: ingressNamespace, app: ingressName, version: "v1", account: ingressName, gateway: true,
		labels:    map[string]string{"app": ingressName, "istio": "ingressgateway"},
		inherited: []inheritedSocket{{address: "0.0.0.0:80", file: m.ports.gatewayListener}},
		about:     "the ingress gateway",
	}
}

func sample(p shop.Part) *workload {
	return &workload{
		name: p.Name + "-" + p.Version, namespace: shop.Namespace, app: p.Name, version: p.Version, account: p.Name, port: p.Port, tcp: p.TCP, about: p.About,
		labels: map[string]string{"app": p.Name, "version": p.Version},
	}
}

// waitReady waits for every proxy, and for the first good answer through the ingress.
func (m *meshRun) waitReady(ctx context.Context) error {
	m.mu.Lock()
	all := m.workloads
	m.mu.Unlock()
	for _, w := range all {
		if err := m.waitProxy(ctx, w); err != nil {
			return err
		}
	}
	if m.opts.Empty {
		return nil
	}
	client := http.Client{Timeout: 5 * time.Second}
	last := "no answer yet"
	err := m.poll(ctx, "the first page through the ingress", func() bool {
		resp, err := client.Get(m.gatewayURL() + "/")
		if err != nil {
			last = err.Error()
			return false
		}
		resp.Body.Close()
		last = "status " + strconv.Itoa(resp.StatusCode)
		return resp.StatusCode == http.StatusOK
	})
	if err != nil {
		return fmt.Errorf("%w (%s)", err, last)
	}
	return nil
}

// waitProxy waits until a proxy has its first configuration.
func (m *meshRun) waitProxy(ctx context.Context, w *workload) error {
	last := ""
	err := m.poll(ctx, w.id(), func() bool {
		var ok bool
		ok, last = w.isReady()
		if _, restarts, how := w.proxy.state(); restarts > 5 {
			last = how
		}
		return ok
	})
	if err != nil {
		return fmt.Errorf("%w (%s); %s", err, last, tail(w.log.Name()))
	}
	return nil
}
