package laptop

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"

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
	m.telling.Lock()
	err = m.tellTargets()
	m.telling.Unlock()
	if err != nil {
		return err
	}
	return m.daemon(inner, "observe", path, "--config", m.metricsConfig(), "--data-dir", m.dir.join("metrics", "data"), "--http-address", m.metricsAddress(),
		"--retention", m.opts.MetricsRetention.String(), "--block", metricsBlock, "--retention-size", strconv.Itoa(metricsMiB), "--max-series", strconv.Itoa(metricsSeries), "--query-max-samples", "5000000",
		"--memory-limit", strconv.Itoa(memoryObserve), "--log-level", "warn")
}

func (m *meshRun) metricsConfig() string { return m.dir.join("metrics", "config.yaml") }

// prepareMetrics writes the configuration of metrics, and makes sure that the store understands what the user added.
func (m *meshRun) prepareMetrics(ctx context.Context) error {
	if !m.opts.Metrics {
		return nil
	}
	if err := os.MkdirAll(m.dir.join("metrics"), 0o700); err != nil {
		return fmt.Errorf("make the folder of metrics: %w", err)
	}
	text := jobs.FromFile(m.dir.join("metrics", targetsFile), m.opts.MetricsEvery)
	file := m.opts.MetricsConfig
	if file != "" {
		more, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read --metrics-config: %w", err)
		}
		if text, err = jobs.With(text, more); err != nil {
			return fmt.Errorf("--metrics-config %s: %w", file, err)
		}
	}
	if err := os.WriteFile(m.metricsConfig(), []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the configuration of metrics: %w", err)
	}
	if file == "" {
		return nil
	}
	path, err := m.opts.binary(observeBinary)
	if err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, path, "--check", "--config", m.metricsConfig()).CombinedOutput(); err != nil {
		return fmt.Errorf("--metrics-config %s: %s", file, strings.TrimPrefix(strings.TrimSpace(string(out)), observeBinary+": "))
	}
	return nil
}

// Bounds of the metrics of one machine.
const (
	metricsMiB    = 512
	metricsBlock  = "30m" // the run folder may be in memory, and the write-ahead log has one and a half of it
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
