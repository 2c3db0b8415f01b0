package jobs

import (
	"fmt"
	"time"
)

// Cluster says what of a Kubernetes cluster is scraped.
type Cluster struct {
	Namespace    string // of the control plane
	Every        time.Duration
	Applications bool // also pods with prometheus.io/scrape, as they say
}

// Kubernetes is a configuration for a Prometheus inside of a cluster: each proxy, the control plane, the node agents.
func Kubernetes(c Cluster) string {
	text := fmt.Sprintf(`# scrape_configs for a Prometheus in the cluster, whose service account may list and watch pods.
scrape_configs:
# Every proxy: sidecars, gateways and waypoints have a port of this name (15090).
- job_name: envoy-stats
  scrape_interval: %[1]s
  metrics_path: /stats/prometheus
  body_size_limit: %[3]s
  kubernetes_sd_configs:
  - role: pod
  relabel_configs:
  - source_labels: [__meta_kubernetes_pod_container_port_name]
    regex: .*-envoy-prom
    action: keep
%[4]s# The control plane (15014).
- job_name: istiod
  scrape_interval: %[1]s
  kubernetes_sd_configs:
  - role: pod
    namespaces:
      names: [%[2]s]
  relabel_configs:
  - source_labels: [__meta_kubernetes_pod_container_port_name, __meta_kubernetes_pod_label_app]
    regex: http-monitoring;heddled
    action: keep
%[4]s# The node agents, where there are some (15014).
- job_name: heddle-node
  scrape_interval: %[1]s
  kubernetes_sd_configs:
  - role: pod
    namespaces:
      names: [%[2]s]
  relabel_configs:
  - source_labels: [__meta_kubernetes_pod_container_port_name, __meta_kubernetes_pod_label_app]
    regex: http-monitoring;heddle-node
    action: keep
%[4]s`, duration(c.Every), c.Namespace, largestBody, podLabels)
	if c.Applications {
		text += fmt.Sprintf(applications, duration(c.Every), largestBody, podLabels, c.Namespace)
	}
	return text
}

// podLabels are the usual labels of a target that is a pod. A pod that has ended is not scraped.
const podLabels = `  - source_labels: [__meta_kubernetes_pod_phase]
    regex: Pending|Succeeded|Failed
    action: drop
  - source_labels: [__meta_kubernetes_namespace]
    target_label: namespace
  - source_labels: [__meta_kubernetes_pod_name]
    target_label: pod
  - source_labels: [__meta_kubernetes_pod_node_name]
    target_label: node
  - source_labels: [__meta_kubernetes_pod_label_app]
    target_label: app
  # A Deployment's pods belong to a ReplicaSet, whose name ends in the hash of the pods' template.
  - source_labels: [__meta_kubernetes_pod_controller_name]
    target_label: workload
  - source_labels: [__meta_kubernetes_pod_controller_kind, __meta_kubernetes_pod_controller_name]
    regex: ReplicaSet;(.+)-[a-z0-9]+
    target_label: workload
`

// applications are the pods that say by annotations that they want to be scraped, but for Heddle's own.
const applications = `# Applications that say so by prometheus.io/scrape, prometheus.io/port and prometheus.io/path.
- job_name: kubernetes-pods
  scrape_interval: %[1]s
  body_size_limit: %[2]s
  kubernetes_sd_configs:
  - role: pod
  relabel_configs:
  - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape]
    regex: "true"
    action: keep
  - source_labels: [__meta_kubernetes_namespace, __meta_kubernetes_pod_label_app]
    regex: %[4]s;(heddled|heddle-node)
    action: drop
  - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scheme]
    regex: (https?)
    target_label: __scheme__
  - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path]
    regex: (.+)
    target_label: __metrics_path__
  # IPv4 and IPv6 addresses; without the port of the annotation a pod has one target per declared port.
  - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_port, __meta_kubernetes_pod_ip]
    regex: (\d+);([0-9.]+)
    replacement: $2:$1
    target_label: __address__
  - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_port, __meta_kubernetes_pod_ip]
    regex: (\d+);([0-9a-fA-F:]*:[0-9a-fA-F:]*)
    replacement: "[$2]:$1"
    target_label: __address__
%[3]s`
