package deploy

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

var update = flag.Bool("update", false, "write what comes out into the fixtures")

func TestGolden(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no fixtures: ", err)
	}
	for _, p := range paths {
		a, err := txtar.ParseFile(p)
		if err != nil {
			t.Fatal(err)
		}
		objects, problems := api.DecodeAll(a.Files[0].Data, p)
		if len(problems) > 0 || len(objects) != 1 {
			t.Fatal(p, problems)
		}
		o := objects[0]
		o.Meta.UID = "u-1"
		listens := &mesh.Gateway{ID: mesh.GatewayID{Dialect: mesh.GatewayAPI, Namespace: "shop", Name: o.Meta.Name}, Servers: []mesh.Server{{Name: "a", Port: 80}, {Name: "b", Port: 443}, {Name: "c", Port: 443}, {Name: "d", Port: 443, Protocol: mesh.UDP}}}
		var b strings.Builder
		listens.Overlays = overlays(a.Comment)
		if _, asked, ok := strings.Cut(string(a.Comment), "\naddress "); ok {
			listens.Addresses = []netip.Addr{netip.MustParseAddr(strings.TrimSpace(asked))}
		}
		rendered, err := Objects(Gateway{Object: o, Listens: listens, Revision: revisionOf(p), Families: familiesOf(p), Owners: []metav1.OwnerReference{Owner(o)}})
		if err != nil {
			t.Fatal(p, err)
		}
		for _, u := range rendered {
			text, err := yaml.Marshal(u.Object)
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString("---\n" + string(text))
		}
		if *update {
			a.Files = []txtar.File{a.Files[0], {Name: "out", Data: []byte(b.String())}}
			if err := os.WriteFile(p, txtar.Format(a), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if len(a.Files) != 2 || string(a.Files[1].Data) != b.String() {
			t.Errorf("%s gives\n%s", p, b.String())
		}
	}
}

// overlays are the lines "of: patch" of a fixture's comment.
func overlays(comment []byte) (all []mesh.Overlay) {
	for line := range strings.Lines(string(comment)) {
		if of, patch, ok := strings.Cut(strings.TrimSpace(line), ": {"); ok {
			all = append(all, mesh.Overlay{Of: of, Patch: "{" + patch})
		}
	}
	return all
}

func revisionOf(path string) string {
	if strings.Contains(path, "revision") {
		return "canary"
	}
	return "default"
}

func familiesOf(path string) string {
	if strings.Contains(path, "families") {
		return "PreferDualStack"
	}
	return ""
}

func TestWanted(t *testing.T) {
	own := func() *mesh.Gateway {
		return &mesh.Gateway{ID: mesh.GatewayID{Dialect: mesh.GatewayAPI, Namespace: "shop", Name: "front"}, Selector: mesh.Labels{GatewayLabel: "front"}, Servers: []mesh.Server{{Port: 80}}}
	}
	if !Wanted(own()) {
		t.Error("a gateway that names no workloads gets some")
	}
	for what, change := range map[string]func(*mesh.Gateway){
		"of the Istio dialect":       func(g *mesh.Gateway) { g.ID.Dialect = mesh.Istio },
		"served by another Service":  func(g *mesh.Gateway) { g.Selector = mesh.Labels{"istio": "ingressgateway"} },
		"without a valid listener":   func(g *mesh.Gateway) { g.Servers = nil },
		"whose address is not found": func(g *mesh.Gateway) { g.Selector = nil },
	} {
		g := own()
		if change(g); Wanted(g) {
			t.Errorf("a gateway %s gets workloads", what)
		}
	}
}

func TestNamesFitALabel(t *testing.T) {
	long := strings.Repeat("a", 60)
	if got := Name("front", "heddle"); got != "front-heddle" {
		t.Error(got)
	}
	if a, b := Name(long, "heddle"), Name(long, "hedge"); len(a) > 63 || a == b {
		t.Error(a, b)
	}
}

// A Gateway of another API is no owner: the cluster would find that there is none, and remove the objects.
func TestOwners(t *testing.T) {
	objects, problems := api.DecodeAll([]byte("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: front, namespace: shop, uid: u-1}\nspec: {gatewayClassName: heddle, listeners: [{name: a, port: 80, protocol: HTTP}]}\n"), "x")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	role := metav1.OwnerReference{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Name: "heddled", UID: "r-1"}
	for _, owners := range [][]metav1.OwnerReference{nil, {role}} {
		rendered, err := Objects(Gateway{Object: objects[0], Listens: &mesh.Gateway{Servers: []mesh.Server{{Port: 80}}}, Owners: owners})
		if err != nil || len(rendered) != 3 {
			t.Fatal(rendered, err)
		}
		for _, u := range rendered {
			if got := u.GetOwnerReferences(); !slices.Equal(got, owners) {
				t.Errorf("%s is owned by %v, want %v", u.GetKind(), got, owners)
			}
		}
	}
}
