package interop_test

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/compile"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/control/config/accepted"
	"github.com/heddle-mesh/heddle/control/config/settings"
	"github.com/heddle-mesh/heddle/control/registry"
	"github.com/heddle-mesh/heddle/control/registry/vip"
	"github.com/heddle-mesh/heddle/control/snapshot"
	"github.com/heddle-mesh/heddle/data/proxy/announce"
	"github.com/heddle-mesh/heddle/data/proxy/config/decode"
	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/test/golden"
	"github.com/heddle-mesh/heddle/test/lab"
	"github.com/heddle-mesh/heddle/xds"
)

var update = flag.Bool("update", false, "rewrite the compiled output in the fixtures")

// TestCompiled is the first level of every fixture: its objects compile to what xds.txt shows, and heddle-proxy takes all that they compile to. No process runs.
func TestCompiled(t *testing.T) {
	cert := certificate(t)
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for i := range f.steps {
				s := &f.steps[i]
				m := compileStep(t, f.meshConfig, withCertificate(cert, s.mesh))
				m.decodes(t)
				m.tells(t, s)
				if s.xds == "" {
					continue
				}
				got := m.show(t, s.xds)
				if d := cmp.Diff(s.xds, got); d != "" && !*update {
					t.Errorf("step %d (go test -run TestCompiled -update ./test/interop accepts it):\n%s", i+1, d)
				}
				s.xds = got
			}
			if *update {
				rewrite(t, &f)
			}
		})
	}
}

// compiled is the mesh of one step, as heddled compiles it.
type compiled struct {
	memo  *compile.Memo
	store *compile.Store
	told  []mesh.Problem // by translation
	alike bool           // the proxies ask where their like run
}

func compileStep(t *testing.T, meshConfig, text string) compiled {
	t.Helper()
	c, _, err := compileMesh(t.TempDir(), meshConfig, text)
	must(t, err)
	return c
}

// baseObjects are those of every fixture.
var baseObjects = sync.OnceValue(func() []api.Object {
	base, err := os.ReadFile("testdata/base.yaml")
	if err != nil {
		panic(err)
	}
	objects, problems := api.DecodeAll(base, "base.yaml")
	if len(problems) > 0 {
		panic(fmt.Sprint(problems))
	}
	return objects
})

// compileMesh compiles objects beside those of every fixture, and gives all that is said about them.
func compileMesh(dir, meshConfig, text string) (c compiled, problems []mesh.Problem, err error) {
	file := filepath.Join(dir, "meshconfig.yaml")
	if err := os.WriteFile(file, []byte("accessLogFile: /dev/stdout\n"+meshConfig), 0o600); err != nil {
		return c, nil, err
	}
	s, problems, err := settings.Read(file)
	if err != nil {
		return c, nil, err
	}
	addresses, err := vip.Open("")
	if err != nil {
		return c, nil, err
	}
	good, err := accepted.Open("", slog.New(slog.DiscardHandler))
	if err != nil {
		return c, nil, err
	}
	trust, err := identity.ParseTrustDomain(s.TrustDomain)
	if err != nil {
		return c, nil, err
	}
	store := config.New()
	feed := store.Feed()
	build := snapshot.NewBuilder(s, registry.Options{Cluster: mesh.DefaultCluster, Network: mesh.DefaultNetwork, TrustDomain: trust, Addresses: addresses}, store, good)
	objects, told := api.DecodeAll([]byte(text), "mesh.yaml")
	for i, o := range append(slices.Clip(baseObjects()), objects...) {
		o.Meta.Created = time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC)
		store.Put("test", o, nil)
	}
	problems = append(problems, told...)
	refs, _, _ := feed.Take()
	snap, reported := build.Apply(refs, nil)
	for _, ref := range reported {
		problems = append(problems, build.Problems(ref)...)
	}
	m := compile.New()
	out, _ := m.Publish(snap)
	return compiled{m, out, problems, strings.Contains(meshConfig, mesh.MetaSelfDiscovery)}, problems, nil
}

// tells compares what the authors of the objects are told.
func (c compiled) tells(t *testing.T, s *step) {
	t.Helper()
	if s.told == nil {
		for _, p := range c.told {
			if p.Code != mesh.CodeNotFound && p.Code != mesh.CodeDenied && p.Code != mesh.CodeMerged { // what leads nowhere, or is closed, is what some fixtures show; all else that is written must count
				t.Errorf("objects: %v", p)
			}
		}
		return
	}
	var proxies []*mesh.Proxy
	var held []*xds.Resource
	for _, name := range proxied {
		for _, envoy := range []bool{false, true} {
			p := c.proxy(name, envoy)
			proxies = append(proxies, p)
			held = append(held, c.everything(p)...)
		}
	}
	var lines []string
	for _, p := range append(c.told, c.memo.Notices()...) {
		lines = append(lines, fmt.Sprintf("%s %s\n", p.Code, p))
	}
	runtime.KeepAlive(proxies)
	runtime.KeepAlive(held)
	slices.Sort(lines)
	got := strings.Join(slices.Compact(lines), "")
	if d := cmp.Diff(*s.told, got); d != "" && !*update {
		t.Errorf("what is told differs (go test -run TestCompiled -update ./test/interop accepts it):\n%s", d)
	}
	*s.told = got
}

// everything is all that a proxy would be sent, but for what only others name.
func (c compiled) everything(p *mesh.Proxy) (all []*xds.Resource) {
	for _, url := range []string{xds.Cluster, xds.Endpoints, xds.Listener, xds.Route, xds.VirtualHost} {
		from := url
		if url == xds.Endpoints {
			from = xds.Cluster // endpoints are asked for by the names of clusters
		}
		for n := range c.store.Names(p, from) {
			if r, ok := c.store.Resource(p, xds.Name{TypeURL: url, Name: n}); ok {
				all = append(all, r)
			}
		}
	}
	for _, l := range all {
		for _, n := range discovered(l) {
			if r, ok := c.store.Resource(p, n); ok {
				all = append(all, r)
			}
		}
	}
	return all
}

// discovered are the configurations of filters that a listener only names.
func discovered(r *xds.Resource) (names []xds.Name) {
	m, err := golden.Decode(r)
	l, ok := m.(*listenerv3.Listener)
	if err != nil || !ok {
		return nil
	}
	for _, c := range append(l.FilterChains, l.DefaultFilterChain) {
		for _, f := range c.GetFilters() {
			var h hcmv3.HttpConnectionManager
			if f.GetTypedConfig().UnmarshalTo(&h) != nil {
				continue
			}
			for _, x := range h.HttpFilters {
				if x.GetConfigDiscovery() != nil {
					names = append(names, xds.Name{TypeURL: xds.Extension, Name: x.Name})
				}
			}
		}
	}
	return names
}

// proxy is a proxy of the world, as MeshConfig has it injected.
func (c compiled) proxy(name string, envoy bool) *mesh.Proxy {
	p := proxyOf(name, envoy)
	if c.alike {
		p.Metadata["ENABLE_SELF_DISCOVERY"] = "true"
	}
	return p
}

// proxyOf is what a proxy of the world says of itself.
func proxyOf(name string, envoy bool) *mesh.Proxy {
	trust, _ := identity.ParseTrustDomain(identity.DefaultTrustDomain)
	p := &mesh.Proxy{ID: name, Name: name, Namespace: "default", ServiceAccount: name, Labels: mesh.Labels{"app": name}, Cluster: mesh.DefaultCluster, Network: mesh.DefaultNetwork,
		Identity: identity.NewID(trust, "default", name), Envoy: envoy, Features: map[mesh.Feature]bool{}, Capture: "REDIRECT", Metadata: map[string]string{"DNS_CAPTURE": "true", "ISTIO_VERSION": announce.IstioVersion}}
	if name == "gateway" {
		p.Kind, p.Capture = mesh.Router, "NONE"
	}
	for _, l := range labelsOf[name] {
		k, v, _ := strings.Cut(l, "=")
		p.Labels[k] = v
	}
	at := append(strings.SplitN(placeOf[name], "/", 3), "", "")
	p.Locality = mesh.Locality{Region: at[0], Zone: at[1], Subzone: at[2]}
	if !envoy {
		for _, f := range announce.Features() {
			p.Features[mesh.Feature(f)] = true
		}
	}
	four, six := lab.IP(numbers[name])
	p.Addresses = []netip.Addr{four, six}
	return p
}

// show fills in what belongs below each heading of a golden section: "# [envoy] PROXY: TYPE [NAME] [@ PATH]", of heddle-proxy if not said otherwise.
func (c compiled) show(t *testing.T, section string) string {
	t.Helper()
	out, err := c.render(section)
	must(t, err)
	return out
}

func (c compiled) render(section string) (string, error) {
	var out strings.Builder
	for line := range strings.Lines(section) {
		heading, ok := strings.CutPrefix(strings.TrimSpace(line), "# ")
		if !ok {
			continue
		}
		fmt.Fprintf(&out, "# %s\n", heading)
		who, what, ok := strings.Cut(heading, ": ")
		if !ok {
			return "", fmt.Errorf("xds.txt: want \"# PROXY: TYPE NAME\", not %q", line)
		}
		name, envoy := strings.CutPrefix(who, "envoy ")
		what, path, _ := strings.Cut(what, " @ ")
		short, resource, one := strings.Cut(what, " ")
		p, url := c.proxy(name, envoy), golden.Types[short]
		if !one {
			fmt.Fprintln(&out, strings.Join(slices.Collect(c.store.Names(p, url)), "\n"))
			continue
		}
		r, found := c.store.Resource(p, xds.Name{TypeURL: url, Name: resource})
		if !found {
			fmt.Fprintln(&out, "none")
			continue
		}
		text, err := golden.Show(r, path)
		if err != nil {
			return "", err
		}
		out.WriteString(text)
	}
	return out.String(), nil
}

// decodes hands heddle-proxy's decoder all that each proxy of the world would be sent.
func (c compiled) decodes(t *testing.T) {
	t.Helper()
	d := &decode.Decoder{Identity: true, Telemetry: true}
	for _, name := range proxied {
		for _, r := range c.everything(c.proxy(name, false)) {
			if err := decodeOne(d, r); err != nil {
				t.Errorf("heddle-proxy of %s refuses %s: %v", name, r.Name, err)
			}
		}
	}
}

func decodeOne(d *decode.Decoder, r *xds.Resource) error {
	m, err := golden.Decode(r)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *clusterv3.Cluster:
		_, err = d.Cluster("", m)
	case *endpointv3.ClusterLoadAssignment:
		_, err = d.Assignment("", m)
	case *listenerv3.Listener:
		_, err = d.Listener("", m)
	case *routev3.RouteConfiguration:
		_, err = d.RouteTable("", m)
	case *routev3.VirtualHost:
		_, err = d.VirtualHost("", m)
	default:
		err = errors.New("no such type is decoded")
	}
	return err
}

// rewrite puts the golden sections back into the file.
func rewrite(t *testing.T, f *fixture) {
	t.Helper()
	path := filepath.Join("testdata", f.name+".txtar")
	ar, err := txtar.ParseFile(path)
	must(t, err)
	step := -1
	for i := range ar.Files {
		switch file := &ar.Files[i]; file.Name {
		case "mesh.yaml":
			step++
		case "told.txt":
			file.Data = []byte(*f.steps[max(step, 0)].told)
		case "xds.txt":
			file.Data = []byte(f.steps[max(step, 0)].xds)
		}
	}
	must(t, os.WriteFile(path, txtar.Format(ar), 0o644))
}
