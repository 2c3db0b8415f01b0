package compile

import (
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/control/config/accepted"
	"github.com/heddle-mesh/heddle/control/registry"
	"github.com/heddle-mesh/heddle/control/registry/vip"
	"github.com/heddle-mesh/heddle/control/snapshot"
	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/test/golden"
	"github.com/heddle-mesh/heddle/xds"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// world is a mesh made of YAML.
type world struct {
	store *config.Store
	feed  *config.Feed
	build *snapshot.Builder
	memo  *Memo
	now   *Store
}

func newWorld(t testing.TB, settings *mesh.Settings) *world {
	t.Helper()
	addresses, err := vip.Open("")
	if err != nil {
		t.Fatal(err)
	}
	good, err := accepted.Open("", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	trust, _ := identity.ParseTrustDomain("cluster.local")
	w := &world{store: config.New(), memo: New()}
	w.feed = w.store.Feed()
	w.build = snapshot.NewBuilder(settings, registry.Options{Cluster: mesh.DefaultCluster, Network: mesh.DefaultNetwork, TrustDomain: trust, Addresses: addresses}, w.store, good)
	return w
}

func defaultSettings() *mesh.Settings {
	return &mesh.Settings{TrustDomain: "cluster.local", RootNamespace: mesh.RootNamespace, AutoMTLS: true, ClusterDomain: "cluster.local"}
}

// apply puts objects and publishes; it fails on problems, because a fixture must mean what it says.
func (w *world) apply(t testing.TB, text string) Changes {
	t.Helper()
	objects, problems := api.DecodeAll([]byte(text), "objects.yaml")
	for _, p := range problems {
		t.Errorf("objects: %v", p)
	}
	for _, o := range objects {
		if o.Meta.Created.IsZero() {
			o.Meta.Created = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		w.store.Put("test", o, nil)
	}
	refs, _, _ := w.feed.Take()
	snap, told := w.build.Apply(refs, nil)
	for _, ref := range told {
		for _, p := range w.build.Problems(ref) {
			if p.Code != mesh.CodeNotFound && p.Code != mesh.CodeDenied { // what is written is put in effect; that it cannot work is what some fixtures show
				t.Errorf("objects: %v", p)
			}
		}
	}
	if snap == nil {
		return func(func(xds.Name, *xds.Resource) bool) {}
	}
	store, changes := w.memo.Publish(snap)
	w.now = store
	return changes
}

// fixtureProxy is the proxy of a fixture.
type fixtureProxy struct {
	Kind, Name, Namespace, ServiceAccount string
	Labels                                map[string]string
	Addresses                             []string
	Locality                              struct{ Region, Zone string }
	Envoy                                 bool
	Features                              []string
	Capture, Cluster                      string
	Metadata                              map[string]string
}

func (f fixtureProxy) proxy(t testing.TB) *mesh.Proxy {
	t.Helper()
	p := &mesh.Proxy{
		ID: f.Name, Name: f.Name, Namespace: mesh.Namespace(f.Namespace), ServiceAccount: f.ServiceAccount, Labels: f.Labels, Cluster: mesh.DefaultCluster,
		Network: mesh.DefaultNetwork, Envoy: f.Envoy, Features: map[mesh.Feature]bool{}, Capture: f.Capture, Metadata: f.Metadata,
		Locality: mesh.Locality{Region: f.Locality.Region, Zone: f.Locality.Zone},
	}
	if f.Cluster != "" {
		p.Cluster = mesh.ClusterID(f.Cluster)
	}
	if f.ServiceAccount == "" {
		p.ServiceAccount = "default"
	}
	trust, _ := identity.ParseTrustDomain("cluster.local")
	p.Identity = identity.NewID(trust, f.Namespace, p.ServiceAccount)
	switch f.Kind {
	case "router":
		p.Kind = mesh.Router
	case "proxyless":
		p.Kind = mesh.Proxyless
	}
	for _, x := range f.Features {
		p.Features[mesh.Feature(x)] = true
	}
	for _, a := range f.Addresses {
		p.Addresses = append(p.Addresses, netip.MustParseAddr(a))
	}
	return p
}

// TestGolden compiles what each fixture shows. A line of "show" is TYPE for the list of names, TYPE NAME for a resource, or "notices".
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { compareWith(t, file) })
	}
}

func compareWith(t *testing.T, file string) {
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{}
	for _, f := range ar.Files {
		parts[f.Name] = string(f.Data)
	}
	settings := defaultSettings()
	if s := parts["settings.yaml"]; s != "" {
		if err := yaml.UnmarshalStrict([]byte(s), settings); err != nil {
			t.Fatal(err)
		}
	}
	var p fixtureProxy
	if err := yaml.UnmarshalStrict([]byte(parts["proxy.yaml"]), &p); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, settings)
	w.apply(t, parts["objects.yaml"])
	got := w.show(t, p.proxy(t), parts["show"])
	if *update {
		ar.Files = ar.Files[:0]
		for _, name := range []string{"settings.yaml", "objects.yaml", "proxy.yaml", "show"} {
			if parts[name] != "" {
				ar.Files = append(ar.Files, txtar.File{Name: name, Data: []byte(parts[name])})
			}
		}
		ar.Files = append(ar.Files, txtar.File{Name: "want", Data: []byte(got)})
		if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != parts["want"] {
		t.Errorf("got (go test -update accepts it):\n%s", got)
	}
}

func (w *world) show(t testing.TB, p *mesh.Proxy, lines string) string {
	t.Helper()
	var out strings.Builder
	var held []*xds.Resource // what nobody holds tells nobody anything
	defer func() { runtime.KeepAlive(held) }()
	for line := range strings.Lines(lines) {
		short, name, one := strings.Cut(strings.TrimSpace(line), " ")
		path := ""
		name, path, _ = strings.Cut(name, " @ ")
		url := golden.Types[short]
		fmt.Fprintf(&out, "# %s\n", strings.TrimSpace(line))
		switch {
		case short == "notices":
			for _, n := range w.memo.Notices() {
				fmt.Fprintln(&out, n)
			}
		case !one:
			for n := range w.now.Names(p, url) {
				fmt.Fprintln(&out, n)
			}
		default:
			r, ok := w.now.Resource(p, xds.Name{TypeURL: url, Name: name})
			held = append(held, r)
			if !ok {
				fmt.Fprintln(&out, "none")
				continue
			}
			out.WriteString(readable(t, r, path))
		}
	}
	return out.String()
}

func readable(t testing.TB, r *xds.Resource, path string) string {
	t.Helper()
	text, err := golden.Show(r, path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
