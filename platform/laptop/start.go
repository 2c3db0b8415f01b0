package laptop

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/heddle-mesh/heddle/platform/shop"
)

// plan is all that a new mesh starts with: the ingress and the shop. Nothing of it runs yet.
func (m *meshRun) plan() []*workload {
	all := []*workload{m.ingress()}
	if !m.opts.Empty {
		parts := shop.Parts()
		if m.opts.plain() {
			parts = plainParts()
		}
		m.say("starting the shop: %d services, each with a proxy of its own", len(parts))
		for _, p := range parts {
			all = append(all, sample(p))
		}
	}
	for _, w := range all {
		m.place(w)
		_ = m.add(w)
	}
	return all
}

// startAll brings the planned workloads up beside the API server. The order of need is: the API server, then its objects and heddled, then the
// proxies, whose tokens heddled reads when it starts; namespaces and applications need none of them.
func (m *meshRun) startAll(start, inner context.Context, all []*workload) error {
	g, start := errgroup.WithContext(start)
	placed := make(chan struct{})
	g.Go(func() error {
		if !m.opts.plain() { // nobody is shut in
			if err := m.startRelay(inner); err != nil {
				return err
			}
		}
		for _, w := range all {
			if err := m.settle(start, w); err != nil {
				return err
			}
			if !w.gateway {
				if err := m.startSample(inner, w); err != nil {
					return err
				}
			}
		}
		close(placed)
		return nil
	})
	g.Go(func() error {
		if err := m.waitAPIServer(start); err != nil {
			return err
		}
		var err error
		if m.api, err = newAPI(m.dir.join("kubeconfig")); err != nil {
			return err
		}
		g.Go(func() error { return m.writeObjects(start, all) })
		select {
		case <-start.Done():
			return start.Err()
		case <-placed:
		}
		if err := m.startHeddled(start, inner); err != nil {
			return err
		}
		return eachAtOnce(all, func(w *workload) error { return m.startProxy(inner, w) })
	})
	return g.Wait()
}

// writeObjects puts the planned workloads into the API, and the shop's own objects unless an earlier start did: those are the user's to change.
func (m *meshRun) writeObjects(ctx context.Context, all []*workload) error {
	if err := m.api.apply(ctx, namespaceObject(ingressNamespace)+"---\n"+namespaceObject(shop.Namespace)+"---\n"+namespaceObject(defaultNamespace)); err != nil {
		return err
	}
	if err := m.api.removeOld(ctx, all); err != nil {
		return err
	}
	err := eachAtOnce(all, func(w *workload) error {
		if w.gateway {
			if err := m.api.apply(ctx, ingressObject(w)); err != nil {
				return err
			}
			return m.api.balanced(ctx, w.namespace, w.app, "127.0.0.1", m.ports.gateway)
		}
		return m.api.apply(ctx, accountObject(w)+"---\n"+serviceObject(w)+"---\n"+entryObject(w, true))
	})
	if err != nil {
		return err
	}
	objects := gatewayObjects()
	if !m.opts.Empty {
		objects += shop.Routes(ingressNamespace + "/ingress")
	}
	return m.api.create(ctx, objects)
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
	w := &workload{
		name: p.Name + "-" + p.Version, namespace: shop.Namespace, app: p.Name, version: p.Version, account: p.Name, port: p.Port, tcp: p.TCP, about: p.About,
		labels: map[string]string{"app": p.Name, "version": p.Version},
	}
	w.portName = w.protocol()
	return w
}

// waitReady waits for every proxy, and for the first good answer through the ingress.
func (m *meshRun) waitReady(ctx context.Context, all []*workload) error {
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

// waitProxy waits until a proxy has its first configuration. One that keeps dying meanwhile is told with the end of its log.
func (m *meshRun) waitProxy(ctx context.Context, w *workload) error {
	last, died := "", ""
	err := m.poll(ctx, w.id(), func() bool {
		var ready bool
		ready, last = w.isReady()
		if _, restarts, how := w.proxy.State(); restarts > 5 {
			died = how
		}
		return ready || died != ""
	})
	switch {
	case err != nil:
		return fmt.Errorf("%w (%s); %s", err, last, tail(w.log.Name()))
	case died != "":
		return fmt.Errorf("%s does not start (%s): %s", w.proxy.Name, died, strings.TrimPrefix(tail(w.log.Name()), "heddle-proxy: "))
	}
	return nil
}
