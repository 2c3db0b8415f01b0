package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/announce"
	"github.com/heddle-mesh/heddle/data/proxy/server"
	"github.com/spf13/cobra"
)

// The flags of a sidecar come from the files of a machine where they are not given; a registered workload's probe is asked.
func TestMachineDir(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"mesh.yaml": `defaultConfig: {discoveryAddress: "heddled.istio-system.svc:15012", readinessProbe: {tcpSocket: {port: 80}}, proxyMetadata: {POD_NAMESPACE: shop, SERVICE_ACCOUNT: web,
  TRUST_DOMAIN: td, ISTIO_META_AUTO_REGISTER_GROUP: vms, ISTIO_METAJSON_LABELS: '{"app":"web","tier":"x"}'}}`, "cluster.env": "ISTIO_SVC_IP=10.0.0.7\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (f workload, o server.Options, err error) {
		cmd := &cobra.Command{Use: "sidecar", SilenceErrors: true, SilenceUsage: true, RunE: func(*cobra.Command, []string) error { return f.fill(&o, announce.Sidecar) }}
		f.add(cmd.Flags())
		machineFlag(cmd)
		cmd.SetArgs(append(args, "--machine-dir", dir))
		err = cmd.Execute()
		return f, o, err
	}
	_, o, err := run("--name", "vm-1", "--service-account", "other")
	if err != nil {
		t.Fatal(err)
	}
	w := o.Workload
	if w.Name != "vm-1" || w.Account != "other" || w.Namespace != "shop" || w.TrustDomain != "td" || w.Group != "vms" || w.Labels["tier"] != "x" || w.IPs[0].String() != "10.0.0.7" ||
		o.XDS.Address != "heddled.istio-system.svc:15012" || w.ClusterID != "Kubernetes" || o.Probe == nil {
		t.Errorf("%+v", w)
	}
	if _, o, err = run("--workload-entry", "by-hand", "--ip", "10.0.0.8", "--label", "app=other"); err != nil || o.Workload.Group != "" || o.Workload.Entry != "by-hand" || len(o.Workload.IPs) != 1 || len(o.Workload.Labels) != 1 {
		t.Errorf("%v %+v", err, o.Workload)
	}
	if _, o, err = run("--proxy-config", "concurrency: 2"); err != nil || o.Probe != nil {
		t.Error("a probe that was not asked for: ", err)
	}
	if _, _, err = run("--proxy-config", "readinessProbe: {}"); err == nil || !strings.Contains(err.Error(), "--proxy-config: readinessProbe: want one of") {
		t.Error(err)
	}
}
