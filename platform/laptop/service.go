package laptop

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// join puts a workload behind the service that it is named for: one that exists stays as it is, else it is made. The workload takes no traffic yet.
func (m *meshRun) join(ctx context.Context, w *workload) error {
	m.joining.Lock()
	defer m.joining.Unlock()
	service, err := m.api.service(ctx, w.namespace, w.app)
	w.portName = w.protocol()
	switch {
	case err != nil:
		return err
	case service != nil:
		if err := w.fit(service); err != nil {
			return err
		}
	case w.port != 0:
		if err := m.api.apply(ctx, serviceObject(w)); err != nil {
			return err
		}
	case w.app != w.name:
		return fmt.Errorf("there is no service %s in namespace %s; add --port to make it, or see heddle kubectl get services -A", w.app, w.namespace)
	}
	if m.opts.plain() && w.port != 0 {
		if w.tcp {
			return fmt.Errorf("service %s.%s speaks plain TCP, which nothing leads into the mesh with --mode proxy; use --mode root or rootless", w.app, w.namespace)
		}
		if err := m.plainFree(ctx, w.port); err != nil {
			return err
		}
		w.hostPort, w.entryPort = w.port, plainInbound
	}
	return m.api.apply(ctx, accountObject(w)+"---\n"+entryObject(w, w.port == 0))
}

// fit makes a workload one of those behind a service, or says why it cannot be one.
func (w *workload) fit(s *corev1.Service) error {
	for k, v := range s.Spec.Selector {
		if w.labels[k] != v {
			return fmt.Errorf("service %s.%s selects workloads with %s=%s, and this one has the labels app=%s and version=%s; change the service's selector, or choose another --service or --version",
				s.Name, s.Namespace, k, v, w.app, w.version)
		}
	}
	port, err := w.portOf(s)
	if err != nil {
		return err
	}
	if w.tcp && strings.HasPrefix(port.Name, "http") {
		return fmt.Errorf("service %s.%s speaks HTTP on port %d; leave --tcp out", s.Name, s.Namespace, port.Port)
	}
	w.tcp = w.tcp || strings.HasPrefix(port.Name, "tcp")
	w.portName = port.Name
	target := uint16(cmp.Or(port.TargetPort.IntVal, port.Port))
	if w.port == 0 {
		w.port = target
	}
	if w.port != target {
		w.entryPort = w.port
	}
	return nil
}

// portOf finds the port of a service that a workload serves: the only one, or the one with the number of the workload's.
func (w *workload) portOf(s *corev1.Service) (corev1.ServicePort, error) {
	ports := s.Spec.Ports
	if len(ports) == 1 {
		return ports[0], nil
	}
	at := slices.IndexFunc(ports, func(p corev1.ServicePort) bool {
		return w.port != 0 && (p.TargetPort.IntVal == int32(w.port) || p.Port == int32(w.port))
	})
	if at >= 0 {
		return ports[at], nil
	}
	var numbers []string
	for _, p := range ports {
		numbers = append(numbers, fmt.Sprint(p.Port))
	}
	return corev1.ServicePort{}, fmt.Errorf("service %s.%s has %d ports; say with --port which one the process serves: %s", s.Name, s.Namespace, len(ports), strings.Join(numbers, ", "))
}

// part takes the objects of a workload away; its service and account go with the last one that shares them, if heddle run made them.
func (m *meshRun) part(ctx context.Context, w *workload) error {
	m.joining.Lock()
	defer m.joining.Unlock()
	w.leaving, w.serving = true, false
	objects := entryObject(w, false)
	if !m.shared(w) {
		service, err := m.api.service(ctx, w.namespace, w.app)
		if err != nil {
			return err
		}
		key, value, _ := strings.Cut(ours, ": ")
		if service != nil && service.Labels[key] == value {
			objects += "---\n" + serviceObject(w)
		}
		objects += "---\n" + accountObject(w)
	}
	return m.api.remove(ctx, objects)
}

// shared says whether another workload that stays is behind the same service.
func (m *meshRun) shared(w *workload) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.workloads, func(o *workload) bool { return o != w && !o.leaving && o.namespace == w.namespace && o.app == w.app })
}
