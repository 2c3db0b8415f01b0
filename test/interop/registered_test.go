package interop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/control/config/accepted"
	"github.com/heddle-mesh/heddle/control/config/settings"
	"github.com/heddle-mesh/heddle/control/register"
	"github.com/heddle-mesh/heddle/control/register/bootstrap"
	closed "github.com/heddle-mesh/heddle/control/translate/world"
	"github.com/heddle-mesh/heddle/data/proxy/machine"
	"github.com/heddle-mesh/heddle/data/proxy/probe"
	"github.com/heddle-mesh/heddle/mesh"
)

// visitor is a proxy of a workload outside of Kubernetes, as its node tells of it.
type visitor struct {
	IP, Account, Network, Locality, Entry, Group string
	Labels                                       map[string]string
	Health                                       string // well, unwell, or "" for not a word
	Probed                                       bool
}

// registered is what becomes of objects, with proxies that come: what the machines of each group are started with, the entries of the workloads, and what of the compiled output the
// headings name.
func registered(dir, meshConfig string, objects []byte, visitors, headings string) verdict {
	all, problems := api.DecodeAll(objects, "mesh.yaml")
	v := verdict{refused: !api.Valid(problems)}
	var b strings.Builder
	results, rest := closed.Load(&mesh.Settings{TrustDomain: "cluster.local", RootNamespace: mesh.RootNamespace, ClusterDomain: "cluster.local"}, objects, "")
	for _, r := range results {
		rest = append(rest, r.Problems...)
	}
	for _, p := range rest {
		fmt.Fprintf(&b, "%s %s\n", p.Code, p)
		v.refused = v.refused || p.Code.Fatal()
	}
	proxies, err := settings.ParseProxyConfig([]byte(meshConfig))
	if err != nil {
		return verdict{err.Error(), true}
	}
	store := config.New()
	for _, o := range all {
		store.Put("test", o, nil)
		if o.Kind.Kind == "WorkloadGroup" {
			b.WriteString(startedWith(o, proxies))
		}
	}
	good, _ := accepted.Open("", slog.New(slog.DiscardHandler))
	desk := register.New(register.Options{Objects: store, Accepted: good, Entries: register.NewMemory(store), Instance: "heddled-1"})
	defer desk.Close()
	var list []visitor
	if err := yaml.UnmarshalStrict([]byte(visitors), &list); err != nil {
		return verdict{err.Error(), true}
	}
	text := string(objects)
	for _, one := range list {
		text += enter(desk, store, one, &b)
	}
	c, _, err := compileMesh(dir, meshConfig, text)
	if err != nil {
		return verdict{err.Error(), true}
	}
	shown, err := c.render(headings)
	if err != nil {
		return verdict{err.Error(), true}
	}
	v.text = b.String() + shown
	return v
}

// startedWith is what a machine of a group is started with.
func startedWith(group api.Object, proxies *meshconfig.ProxyConfig) string {
	files, err := bootstrap.Files(group, bootstrap.Options{Proxies: proxies, TrustDomain: "cluster.local", ClusterID: "Kubernetes", Namespace: "istio-system", Register: true, DNS: true,
		Ingress: netip.MustParseAddr("203.0.113.7")})
	if err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, "== %s of %s\n%s", name, group.Meta.Name, files[name])
	}
	return b.String()
}

// enter registers a proxy, writes down the entry that it gets, and gives the entry as an object.
func enter(desk *register.Registrar, store *config.Store, v visitor, b *strings.Builder) string {
	p := proxyOf("server", false)
	p.ID, p.Name, p.ServiceAccount, p.Labels, p.Addresses = "vm", "vm", v.Account, v.Labels, []netip.Addr{netip.MustParseAddr(v.IP)}
	p.Metadata = map[string]string{"AUTO_REGISTER_GROUP": v.Group, "WORKLOAD_ENTRY": v.Entry, "NETWORK": v.Network}
	p.Locality, p.Probed = mesh.ParseLocality(v.Locality), v.Probed
	g, err := desk.Register(context.Background(), p, true)
	if err != nil {
		fmt.Fprintf(b, "== %s is refused\n%v\n", v.IP, err)
		return ""
	}
	ref := api.Ref{Group: api.GroupNetworking, Kind: "WorkloadEntry", Namespace: "default", Name: p.Entry}
	if g != nil && v.Health != "" {
		g.Probed(v.Health == "well", "it says no")
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if e, _ := store.Get(ref); len(e.Object.Status) > 0 {
				break
			}
		}
	}
	e, _ := store.Get(ref)
	spec, err := json.Marshal(e.Object.Spec)
	if err != nil {
		return err.Error()
	}
	marks := maps.Clone(e.Object.Meta.Annotations)
	delete(marks, "istio.io/connectedAt")
	status := map[string]any{}
	conditions, _ := e.Object.Status["conditions"].([]any)
	for _, c := range conditions {
		m := maps.Clone(c.(map[string]any))
		delete(m, "lastProbeTime")
		delete(m, "lastTransitionTime")
		status["conditions"] = []any{m}
	}
	out, err := yaml.Marshal(map[string]any{"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "status": status, "spec": json.RawMessage(spec),
		"metadata": map[string]any{"name": e.Object.Meta.Name, "namespace": "default", "annotations": marks, "labels": e.Object.Meta.Labels}})
	if err != nil {
		return err.Error()
	}
	fmt.Fprintf(b, "== %s; its proxy has %v, network %s, %v\n%s", v.IP, p.Labels, p.Network, p.Locality, out)
	return "\n---\n" + string(out)
}

// sections of a golden by name.
func sections(a *txtar.Archive) map[string]string {
	out := map[string]string{}
	for _, f := range a.Files {
		out[f.Name] = string(f.Data)
	}
	return out
}

// headings are the lines of a golden that say what is to be shown of the compiled output.
func headings(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "# ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// registeredExhibits are WorkloadGroups with proxies that register.
func registeredExhibits(t *testing.T) (out []exhibit) {
	dir := t.TempDir()
	for name, a := range archives(t, "test/interop/testdata/registered/") {
		part := sections(a)
		e := exhibit{name: name, want: part["out.txt"], objects: documents(t, part["mesh.yaml"]), judge: func(objects []map[string]any, config map[string]any) verdict {
			return registered(mkdir(t, filepath.Join(dir, filepath.Base(name))), string(marshal(config)), stream(objects), part["proxies.yaml"], headings(part["out.txt"]))
		}}
		must(t, yaml.Unmarshal([]byte(part["meshconfig.yaml"]), &e.config))
		results, rest := closed.Load(&mesh.Settings{TrustDomain: "cluster.local", RootNamespace: mesh.RootNamespace, ClusterDomain: "cluster.local"}, []byte(part["mesh.yaml"]), "")
		e.told = rest
		for _, r := range results {
			e.told = append(e.told, r.Problems...)
		}
		out = append(out, e)
	}
	return out
}

// TestRegistered: what becomes of groups and their proxies is what the goldens say.
func TestRegistered(t *testing.T) {
	for name, a := range archives(t, "test/interop/testdata/registered/") {
		part := sections(a)
		got := registered(t.TempDir(), part["meshconfig.yaml"], []byte(part["mesh.yaml"]), part["proxies.yaml"], headings(part["out.txt"]))
		if *update {
			for i := range a.Files {
				if a.Files[i].Name == "out.txt" {
					a.Files[i].Data = []byte(got.text)
				}
			}
			must(t, os.WriteFile("../../"+name+".txtar", txtar.Format(a), 0o644))
		} else if got.text != part["out.txt"] {
			t.Errorf("%s: %s", name, got.text)
		}
	}
}

// TestMachineReadsWhatIsWritten: the proxy of a machine takes from the files what the group says.
func TestMachineReadsWhatIsWritten(t *testing.T) {
	a, err := txtar.ParseFile("testdata/registered/group.txtar")
	must(t, err)
	objects, _ := api.DecodeAll([]byte(sections(a)["mesh.yaml"]), "")
	files, err := bootstrap.Files(objects[0], bootstrap.Options{TrustDomain: "cluster.local", ClusterID: "east", Namespace: "istio-system", Register: true})
	must(t, err)
	dir := t.TempDir()
	for name, data := range files {
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	flags, err := machine.Read(dir)
	must(t, err)
	got := map[string]string{}
	for _, f := range flags {
		got[f.Name] += f.Value + " "
	}
	for name, want := range map[string]string{"namespace": "default", "service-account": "vm", "register-group": "vms", "network": "vm-network", "cluster-id": "east", "xds-address": "heddled.istio-system.svc:15012",
		"concurrency": "2", "label": "app=vm service.istio.io/canonical-name=vm service.istio.io/canonical-revision=v0 tier=back version=v0"} {
		if got[name] != want+" " {
			t.Errorf("--%s is %q, want %q", name, got[name], want)
		}
	}
	if p, err := probe.Parse(got["proxy-config"]); err != nil || p == nil {
		t.Errorf("the probe: %v", err)
	}
}
