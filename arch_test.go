package heddle_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/heddle-mesh/heddle"

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath, Dir, Name, Doc string
	GoFiles                    []string
	Imports, Deps              []string
	Incomplete                 bool
}

func (p pkg) path() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

func (p pkg) own() (own []string) {
	for _, i := range p.Imports {
		if rest, ok := strings.CutPrefix(i, module+"/"); ok {
			own = append(own, rest)
		}
	}
	return own
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,Doc,GoFiles,Imports,Deps,Incomplete", "./...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 {
			all = append(all, p)
		}
	}
}

// tier is the height of a folder: imports go down only. The longest prefix counts.
var tiers = map[string]int{
	"internal": 0,
	"api":      1, "identity": 1, "authz": 1, "xds": 1, "telemetry": 1,
	"charts":  1,
	"ui":      1,
	"mesh":    2,
	"control": 3, "data": 3,
	"platform": 4, "cli": 4,
	"cmd": 5, "test": 6,
}

func tierOf(path string) (int, bool) {
	top, _, _ := strings.Cut(path, "/")
	n, ok := tiers[top]
	return n, ok
}

func under(path string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return path == f || strings.HasPrefix(path, f+"/") })
}

// stage is the place of a folder in the control plane's pipe: imports go from a higher number to a lower one.
var stages = map[string]int{
	"config": 1, "registry": 1, "names": 1, "health": 1, "token": 1,
	"translate": 2, "ca": 2, "inject": 2, "deploy": 2, "register": 2,
	"snapshot": 3, "status": 3,
	"compile": 4,
	"serve":   5, "admission": 5, "analyze": 5,
	"server": 6,
}

// ban forbids imports with a prefix outside the allowed folders, for a reason.
type ban struct {
	prefix  string
	allowed []string
	reason  string
}

var bans = []ban{
	{prefix: "k8s.io/kubernetes", reason: "only the apiserver module and the test lab link Kubernetes itself"},
	{prefix: "k8s.io/client-go", allowed: []string{"control/config/kube", "control/registry/kube", "control/status", "control/inject", "platform", "cli", "cmd/heddle", "cmd/heddle-node", "test"},
		reason: "a Kubernetes client belongs to the two ends of the control plane"},
	{prefix: "k8s.io/apimachinery", allowed: []string{"api", "charts", "control", "platform", "cli", "cmd/heddled", "cmd/heddle", "test"}, reason: "mesh and the data plane know nothing of Kubernetes' types"},
	{prefix: "github.com/envoyproxy/go-control-plane/envoy/config", allowed: []string{"control/compile", "data/proxy", "xds", "platform/observe", "cli", "control/serve", "test"},
		reason: "Envoy's resource types stay at the two ends of the wire"},
	{prefix: "github.com/envoyproxy/go-control-plane/envoy/extensions", allowed: []string{"control/compile", "data/proxy", "xds/catalog", "cli", "control/serve", "test"},
		reason: "Envoy's resource types stay at the two ends of the wire"},
	{prefix: "github.com/prometheus/prometheus", allowed: []string{"platform/observe", "cmd/heddle-observe", "test"},
		reason: "Prometheus' database and engine are in heddle-observe alone (decision 050)"},
	{prefix: "golang.org/x/net/http2", allowed: []string{"test"}, reason: "the data path has its own codecs"},
}

func TestImportsGoDownTheTiers(t *testing.T) {
	for _, p := range packages(t) {
		from, ok := tierOf(p.path())
		if p.path() == "" {
			continue
		}
		if !ok {
			t.Errorf("%s: no tier; a top-level folder needs a line in the table", p.path())
			continue
		}
		for _, i := range p.own() {
			to, _ := tierOf(i)
			if to > from {
				t.Errorf("%s imports %s: imports go down the tiers", p.path(), i)
			}
			if from < 5 && (under(p.path(), "control") && under(i, "data") || under(p.path(), "data") && under(i, "control")) {
				t.Errorf("%s imports %s: the two planes never import each other", p.path(), i)
			}
		}
	}
}

func TestControlIsAPipe(t *testing.T) {
	for _, p := range packages(t) {
		rest, ok := strings.CutPrefix(p.path(), "control/")
		if !ok {
			continue
		}
		from, _, _ := strings.Cut(rest, "/")
		if _, ok := stages[from]; !ok {
			t.Errorf("control/%s has no stage in the table", from)
		}
		for _, i := range p.own() {
			if to, ok := strings.CutPrefix(i, "control/"); ok {
				to, _, _ = strings.Cut(to, "/")
				if to != from && stages[to] > stages[from] {
					t.Errorf("control/%s imports control/%s: imports go from a higher stage to a lower one", rest, to)
				}
			}
		}
	}
}

func TestBannedImports(t *testing.T) {
	for _, p := range packages(t) {
		for _, b := range bans {
			if under(p.path(), b.allowed...) {
				continue
			}
			for _, i := range p.Imports {
				if strings.HasPrefix(i, b.prefix) {
					t.Errorf("%s imports %s: %s", p.path(), i, b.reason)
				}
			}
		}
	}
}

// prometheus is Prometheus itself; its client libraries have other names.
const prometheus = "github.com/prometheus/prometheus/"

// links lists what a binary must not contain.
var links = map[string][]string{
	"cmd/heddle":       {prometheus},
	"cmd/heddle-proxy": {"k8s.io/", module + "/control", module + "/platform", prometheus},
	"cmd/heddled":      {"k8s.io/kubernetes", module + "/platform", module + "/data", prometheus},
	"cmd/heddle-cni":   {"k8s.io/", "net/http", "google.golang.org/", module + "/control", module + "/platform", module + "/data/proxy"},
	"cmd/heddle-node":  {"k8s.io/kubernetes", prometheus, module + "/control", module + "/data/proxy"},
}

// linksThough lists what a binary contains of what it must not contain, each for a reason.
var linksThough = map[string][]string{
	"cmd/heddled": {module + "/platform/web", module + "/platform/observe/graph"}, // the dashboard is served where the mesh is known (decision 054)
}

func TestBinariesLinkOnlyTheirOwn(t *testing.T) {
	for _, p := range packages(t) {
		for _, banned := range links[p.path()] {
			for _, d := range p.Deps {
				if strings.HasPrefix(d, banned) && !slices.Contains(linksThough[p.path()], d) {
					t.Errorf("%s links %s", p.path(), d)
				}
			}
		}
	}
}

func TestFolderCycles(t *testing.T) {
	edges := map[string]map[string]bool{}
	for _, p := range packages(t) {
		from := folder(p.path())
		for _, i := range p.own() {
			if to := folder(i); to != from {
				if edges[from] == nil {
					edges[from] = map[string]bool{}
				}
				edges[from][to] = true
			}
		}
	}
	state := map[string]int{}
	var visit func(f string, trail []string)
	visit = func(f string, trail []string) {
		switch state[f] {
		case 1:
			t.Errorf("folders in a cycle: %s", strings.Join(append(trail, f), " → "))
			return
		case 2:
			return
		}
		state[f] = 1
		for to := range edges[f] {
			visit(to, append(trail, f))
		}
		state[f] = 2
	}
	for f := range edges {
		visit(f, nil)
	}
}

// folder is the room that cycles are counted between: the first two parts of a path inside the planes, the first elsewhere; each filter is a room.
func folder(path string) string {
	parts := strings.Split(path, "/")
	n := 1
	switch parts[0] {
	case "control", "internal", "cmd", "test":
		n = 2
	case "data":
		n = 3
		if len(parts) > 2 && parts[2] == "filter" {
			n = 4
		}
	}
	return strings.Join(parts[:min(n, len(parts))], "/")
}

func TestLongestImportChain(t *testing.T) {
	next := map[string][]string{}
	for _, p := range packages(t) {
		next[p.path()] = p.own()
	}
	depth := map[string]int{}
	var measure func(string) int
	measure = func(p string) int {
		if d, ok := depth[p]; ok {
			return d
		}
		best := 0
		for _, i := range next[p] {
			best = max(best, measure(i))
		}
		depth[p] = best + 1
		return best + 1
	}
	for p := range next {
		if d := measure(p); d > 14 && !strings.HasPrefix(p, "test/") {
			t.Errorf("%s: import chain of %d packages, the limit is 12 below cmd", p, d)
		}
	}
}

// TestProxiesListenWithoutMultipath: Go's listeners speak Multipath TCP unless told otherwise, and sockmaps refuse such sockets.
func TestProxiesListenWithoutMultipath(t *testing.T) {
	found := 0
	for _, p := range packages(t) {
		if !under(p.path(), "data") {
			continue
		}
		for _, name := range p.GoFiles {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			code := string(text)
			configs := strings.Count(code, "net.ListenConfig")
			found += configs
			if configs > strings.Count(code, ".SetMultipathTCP(false)") || strings.Contains(code, `net.Listen("tcp`) || strings.Contains(code, "net.ListenTCP(") {
				t.Errorf("%s/%s listens with Go's defaults: use a net.ListenConfig with SetMultipathTCP(false)", p.path(), name)
			}
		}
	}
	if found == 0 {
		t.Error("no listener was found")
	}
}
