package jobs

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/file"
	"github.com/prometheus/prometheus/model/labels"
	promscrape "github.com/prometheus/prometheus/scrape"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/heddle-mesh/heddle/charts"
	"github.com/heddle-mesh/heddle/platform/observe/scrape"
)

// load reads a configuration as heddle-observe and Prometheus do.
func load(t *testing.T, text string) map[string]*config.ScrapeConfig {
	t.Helper()
	path := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := scrape.Load(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	all, err := c.GetScrapeConfigs()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*config.ScrapeConfig{}
	for _, j := range all {
		byName[j.JobName] = j
	}
	return byName
}

// scraped is what a job makes of a discovered port of a pod: nothing, or its URL and labels.
func scraped(t *testing.T, job *config.ScrapeConfig, found map[string]string) string {
	t.Helper()
	lb := labels.NewBuilder(labels.EmptyLabels())
	set := model.LabelSet{}
	for k, v := range found {
		set[model.LabelName(k)] = model.LabelValue(v)
	}
	got, err := promscrape.PopulateLabels(lb, job, set, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.IsEmpty() {
		return ""
	}
	public := labels.NewBuilder(got)
	got.Range(func(l labels.Label) {
		if strings.HasPrefix(l.Name, "__") {
			public.Del(l.Name)
		}
	})
	return got.Get("__scheme__") + "://" + got.Get("__address__") + got.Get("__metrics_path__") + " " + public.Labels().String()
}

// pod is a port of a pod as Prometheus discovers it.
func pod(more map[string]string) map[string]string {
	all := map[string]string{
		"__address__": "10.0.0.7:8080", "__meta_kubernetes_pod_ip": "10.0.0.7", "__meta_kubernetes_namespace": "shop", "__meta_kubernetes_pod_name": "web-6d4cf56db6-x2k4p", "__meta_kubernetes_pod_node_name": "node1",
		"__meta_kubernetes_pod_phase": "Running", "__meta_kubernetes_pod_label_app": "web", "__meta_kubernetes_pod_controller_kind": "ReplicaSet", "__meta_kubernetes_pod_controller_name": "web-6d4cf56db6",
		"__meta_kubernetes_pod_container_port_name": "http",
	}
	for k, v := range more {
		all[strings.Replace(k, "@", "__meta_kubernetes_pod_", 1)] = v
	}
	return all
}

// TestKubernetes: what is printed is what Prometheus reads, and of what it discovers it keeps the right ports under the right labels.
func TestKubernetes(t *testing.T) {
	all := load(t, Kubernetes(Cluster{Namespace: "mesh-system", Every: 20 * time.Second, Applications: true}))
	if len(load(t, Kubernetes(Cluster{Namespace: "a", Every: time.Second}))) != len(all)-1 {
		t.Error("applications are scraped without being asked for")
	}
	included := filepath.Join(t.TempDir(), "scrape-config.yaml")
	if err := os.WriteFile(included, []byte(Kubernetes(Cluster{Namespace: "a", Every: time.Second})), 0o600); err != nil {
		t.Fatal(err)
	}
	if len(load(t, "scrape_config_files: ["+included+"]")) != len(all)-1 {
		t.Error("it cannot be included by scrape_config_files")
	}
	const labels = `app="web", instance="%s", job="%s", namespace="shop", node="node1", pod="web-6d4cf56db6-x2k4p", workload="web"`
	want := func(url, instance, job string) string {
		return url + " {" + strings.NewReplacer("%s", instance).Replace(strings.Replace(labels, `job="%s"`, `job="`+job+`"`, 1)) + "}"
	}
	prom := map[string]string{"@container_port_name": "http-envoy-prom", "__address__": "10.0.0.7:15090"}
	annotated := map[string]string{"@annotation_prometheus_io_scrape": "true", "@annotation_prometheus_io_port": "9102", "@annotation_prometheus_io_path": "/m"}
	with := func(m map[string]string, k, v string) map[string]string {
		c := map[string]string{k: v}
		for a, b := range m {
			if a != k {
				c[a] = b
			}
		}
		return c
	}
	control := map[string]string{"@container_port_name": "http-monitoring", "__address__": "10.0.0.7:15014", "@label_app": "heddled", "@controller_name": "heddled-6d4cf56db6", "@name": "heddled-x"}
	for _, c := range []struct {
		name, job string
		found     map[string]string
		want      string
	}{
		{"a proxy", Proxies, prom, want("http://10.0.0.7:15090/stats/prometheus", "10.0.0.7:15090", Proxies)},
		{"another port of its pod", Proxies, nil, ""},
		{"a pod that has ended", Proxies, with(prom, "@phase", "Succeeded"), ""},
		{"a pod without controller", Proxies, with(with(prom, "@controller_kind", ""), "@controller_name", ""),
			strings.Replace(want("http://10.0.0.7:15090/stats/prometheus", "10.0.0.7:15090", Proxies), `, workload="web"`, "", 1)},
		{"a pod of a DaemonSet", Proxies, with(with(prom, "@controller_kind", "DaemonSet"), "@controller_name", "log-agent"),
			strings.Replace(want("http://10.0.0.7:15090/stats/prometheus", "10.0.0.7:15090", Proxies), `workload="web"`, `workload="log-agent"`, 1)},
		{"heddled", ControlPlane, control, `http://10.0.0.7:15014/metrics {app="heddled", instance="10.0.0.7:15014", job="istiod", namespace="shop", node="node1", pod="heddled-x", workload="heddled"}`},
		{"heddled's other ports", ControlPlane, with(control, "@container_port_name", "grpc-xds"), ""},
		{"the node agent is another job's", ControlPlane, with(control, "@label_app", "heddle-node"), ""},
		{"the node agent", "heddle-node", with(control, "@label_app", "heddle-node"), `http://10.0.0.7:15014/metrics {app="heddle-node", instance="10.0.0.7:15014", job="heddle-node", namespace="shop", node="node1", pod="heddled-x", workload="heddled"}`},
		{"an application", "kubernetes-pods", annotated, want("http://10.0.0.7:9102/m", "10.0.0.7:9102", "kubernetes-pods")},
		{"… over IPv6", "kubernetes-pods", with(with(annotated, "@ip", "fd00::7"), "__address__", "[fd00::7]:8080"), want("http://[fd00::7]:9102/m", "[fd00::7]:9102", "kubernetes-pods")},
		{"… over TLS", "kubernetes-pods", with(annotated, "@annotation_prometheus_io_scheme", "https"), want("https://10.0.0.7:9102/m", "10.0.0.7:9102", "kubernetes-pods")},
		{"… that does not want to", "kubernetes-pods", with(annotated, "@annotation_prometheus_io_scrape", "false"), ""},
		{"heddled says it too, and has a job already", "kubernetes-pods", with(with(annotated, "__meta_kubernetes_namespace", "mesh-system"), "@label_app", "heddled"), ""},
	} {
		if got := scraped(t, all[c.job], pod(c.found)); got != c.want {
			t.Errorf("%s: %s", c.name, cmp.Diff(c.want, got))
		}
	}
	if got := time.Duration(all[Proxies].ScrapeInterval); got != 20*time.Second {
		t.Errorf("scraped every %s", got)
	}
}

// TestFromFile: a file of targets with whatever path, and intervals below a second.
func TestFromFile(t *testing.T) {
	for _, every := range []time.Duration{time.Second, 1500 * time.Millisecond, time.Minute} {
		job := load(t, FromFile(`/run/a "b"/targets.json`, every))["mesh"]
		if time.Duration(job.ScrapeInterval) != every || time.Duration(job.ScrapeTimeout) != every {
			t.Errorf("%s: every %s, at most for %s", every, job.ScrapeInterval, job.ScrapeTimeout)
		}
		if found := job.ServiceDiscoveryConfigs; len(found) != 1 || !slices.Equal(found[0].(*file.SDConfig).Files, []string{`/run/a "b"/targets.json`}) {
			t.Errorf("it reads %+v", found)
		}
	}
}

// TestWith: what a user adds is in the configuration, beside what the mesh has; anything else is refused by its name.
func TestWith(t *testing.T) {
	text, err := With(FromFile("targets.json", time.Second), []byte("global: {external_labels: {site: lab}}\nremote_write: [{url: 'http://a/push', headers: {X-Scope-OrgID: b}}]\nscrape_configs: [{job_name: mine}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if all := load(t, text); len(all) != 2 || all["mine"] == nil || time.Duration(all["mesh"].ScrapeInterval) != time.Second {
		t.Errorf("%s", text)
	}
	for _, want := range []string{"site: lab", "url: http://a/push", "X-Scope-OrgID: b"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	for more, want := range map[string]string{
		"rule_files: [a]":               "rule_files cannot be set; use remote_write, scrape_configs and global.external_labels",
		"global: {scrape_interval: 1s}": "global.scrape_interval is the mesh's; of global only external_labels can be set",
		"global: 1":                     "global is not an object",
		"scrape_configs: 1":             "scrape_configs is not a list",
		"a: [":                          "it is not YAML: ",
	} {
		if _, err := With(FromFile("targets.json", time.Second), []byte(more)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", more, err, want)
		}
	}
}

// TestChartHasTheSame: the ConfigMap of the chart has what the command prints.
func TestChartHasTheSame(t *testing.T) {
	for _, applications := range []bool{false, true} {
		r, err := charts.Render(charts.Release{Name: "heddle", Namespace: "mesh-system", Values: map[string]any{"metrics": map[string]any{"scrapeConfig": map[string]any{"enabled": true, "interval": "20s", "applications": applications}}}})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(r.Objects, func(u *unstructured.Unstructured) bool { return u.GetName() == "heddled-scrape-config" })
		if i < 0 {
			t.Fatal("the chart has no such ConfigMap")
		}
		got, _, err := unstructured.NestedString(r.Objects[i].Object, "data", "scrape-config.yaml")
		if want := Kubernetes(Cluster{Namespace: "mesh-system", Every: 20 * time.Second, Applications: applications}); err != nil || got != want {
			t.Errorf("%v %s", err, cmp.Diff(want, got))
		}
	}
}
