// Package jobs writes, in Prometheus' language, who of a mesh is scraped and how: for the mesh on this machine, and for a Kubernetes cluster.
//
// In: names, addresses and intervals. Out: YAML and JSON that Prometheus and heddle-observe read. It links nothing of Prometheus, so that heddle need not.
package jobs

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Names of jobs. Those of proxies and of the control plane are the ones that Istio's documentation has, for the sake of dashboards.
const (
	Proxies      = "envoy-stats"
	ControlPlane = "istiod"
	Metrics      = "prometheus" // the store itself
)

// Target is one scraped process.
type Target struct {
	Job       string
	Address   string // HOST:PORT that answers
	Path      string // "" is /metrics
	Instance  string // "" is the address
	Namespace string
	Pod       string // of a workload: its name
	Workload  string
	App       string
}

// group is one entry of a file_sd file.
type group struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// Targets is a file for file_sd_configs.
func Targets(all []Target) ([]byte, error) {
	groups := make([]group, 0, len(all))
	for _, t := range all {
		labels := map[string]string{}
		for name, v := range map[string]string{
			"job": t.Job, "__metrics_path__": t.Path, "instance": t.Instance, "namespace": t.Namespace, "pod": t.Pod, "workload": t.Workload, "app": t.App,
		} {
			if v != "" {
				labels[name] = v
			}
		}
		groups = append(groups, group{Targets: []string{t.Address}, Labels: labels})
	}
	b, err := json.MarshalIndent(groups, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the targets: %w", err)
	}
	return append(b, '\n'), nil
}

// largestBody bounds what one scrape may answer, uncompressed.
const largestBody = "64MB"

// FromFile is a configuration that scrapes what a file of Targets lists.
func FromFile(targets string, every time.Duration) string {
	return fmt.Sprintf(`# Written by heddle up. The targets change with the workloads.
global:
  scrape_interval: %[1]s
  scrape_timeout: %[1]s
  evaluation_interval: %[1]s
  scrape_native_histograms: true
scrape_configs:
- job_name: mesh
  body_size_limit: %[2]s
  file_sd_configs:
  - files: [%[3]s]
    refresh_interval: 1m
`, duration(every), largestBody, strconv.Quote(targets))
}

// duration is a time in Prometheus' language.
func duration(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.Itoa(int(d/time.Second)) + "s"
	}
	return strconv.Itoa(int(d/time.Millisecond)) + "ms"
}
