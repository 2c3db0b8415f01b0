package laptop

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/heddle-mesh/heddle/platform/observe/jobs"
)

// observeBinary keeps the metrics of a mesh.
const observeBinary = "heddle-observe"

// startMetrics runs the store of metrics. Nothing waits for it: a mesh is ready without.
func (m *meshRun) startMetrics(inner context.Context) error {
	if !m.opts.Metrics {
		return nil
	}
	path, err := m.opts.binary(observeBinary)
	if err != nil {
		return err
	}
	folder := m.dir.join("metrics")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make the folder of metrics: %w", err)
	}
	m.telling.Lock()
	err = m.tellTargets()
	m.telling.Unlock()
	if err != nil {
		return err
	}
	config := m.dir.join("metrics", "config.yaml")
	if err := os.WriteFile(config, []byte(jobs.FromFile(m.dir.join("metrics", targetsFile), m.opts.MetricsEvery)), 0o644); err != nil {
		return fmt.Errorf("write the configuration of metrics: %w", err)
	}
	return m.daemon(inner, "observe", path, "--config", config, "--data-dir", m.dir.join("metrics", "data"), "--http-address", m.metricsAddress(),
		"--retention", m.opts.MetricsRetention.String(), "--retention-size", strconv.Itoa(metricsMiB), "--max-series", strconv.Itoa(metricsSeries), "--query-max-samples", "5000000",
		"--memory-limit", strconv.Itoa(memoryObserve), "--log-level", "warn")
}

// Bounds of the metrics of one machine.
const (
	metricsMiB    = 512
	metricsSeries = 100_000
)

const targetsFile = "targets.json"

func (m *meshRun) metricsAddress() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(m.ports.metrics))
}

// metricsURL is "" when there are none.
func (m *meshRun) metricsURL() string {
	if !m.opts.Metrics {
		return ""
	}
	return "http://" + m.metricsAddress()
}

// targets are the proxies, by the address that their admin pages have on the host, heddled, and the store itself.
func (m *meshRun) targets() []jobs.Target {
	m.mu.Lock()
	defer m.mu.Unlock()
	heddled := net.JoinHostPort("127.0.0.1", strconv.Itoa(m.ports.debug))
	all := []jobs.Target{
		{Job: jobs.Metrics, Address: m.metricsAddress(), Namespace: ingressNamespace, App: observeBinary},
		{Job: jobs.ControlPlane, Address: heddled, Namespace: ingressNamespace, Pod: "heddled", Workload: "heddled", App: "istiod"},
	}
	for _, w := range m.workloads {
		all = append(all, jobs.Target{
			Job: jobs.Proxies, Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(m.ports.admin)), Path: "/" + w.namespace + "/" + w.name + "/stats/prometheus",
			Instance: net.JoinHostPort(w.addresses[0].String(), "15090"), Namespace: w.namespace, Pod: w.name, Workload: w.name, App: w.app,
		})
	}
	return all
}

// tellTargets writes the file of targets when it changes.
func (m *meshRun) tellTargets() error {
	if !m.opts.Metrics {
		return nil
	}
	b, err := jobs.Targets(m.targets())
	if err != nil || bytes.Equal(b, m.toldTargets) {
		return err
	}
	part := m.dir.join("metrics", targetsFile+".part")
	if err := os.WriteFile(part, b, 0o644); err != nil {
		return fmt.Errorf("write the targets of metrics: %w", err)
	}
	if err := os.Rename(part, m.dir.join("metrics", targetsFile)); err != nil {
		return fmt.Errorf("write the targets of metrics: %w", err)
	}
	m.toldTargets = b
	return nil
}
