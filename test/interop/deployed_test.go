package interop_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/deploy"
	closed "github.com/heddle-mesh/heddle/control/translate/world"
	"github.com/heddle-mesh/heddle/mesh"
)

// deployedExhibits are Gateways with the objects that a control plane makes for them where it injects.
func deployedExhibits(t *testing.T) (out []exhibit) {
	for name, a := range archives(t, "test/interop/testdata/deployed/") {
		e := exhibit{name: name, want: string(a.Files[1].Data), objects: documents(t, string(a.Files[0].Data)), judge: func(objects []map[string]any, _ map[string]any) verdict { return deployed(stream(objects)) }}
		out = append(out, e)
	}
	return out
}

func deployed(objects []byte) verdict {
	injects := &mesh.Settings{TrustDomain: "cluster.local", RootNamespace: mesh.RootNamespace, ClusterDomain: "cluster.local", Injects: true}
	results, rest := closed.Load(injects, objects, "")
	v := verdict{refused: !api.Valid(rest)}
	var b strings.Builder
	for _, r := range results {
		v.refused = v.refused || !api.Valid(r.Problems)
		if r.Gateway == nil || !deploy.Wanted(r.Gateway) {
			continue
		}
		made, err := deploy.Objects(deploy.Gateway{Object: r.Object, Listens: r.Gateway})
		if err != nil {
			b.WriteString(err.Error() + "\n")
		}
		for _, o := range made {
			raw, err := yaml.Marshal(o.Object)
			if err != nil {
				panic(err)
			}
			b.WriteString("---\n" + string(raw))
		}
	}
	v.text = b.String()
	return v
}

// TestDeployed: the objects that are made for Gateways are those of the goldens.
func TestDeployed(t *testing.T) {
	for name, a := range archives(t, "test/interop/testdata/deployed/") {
		got := deployed(a.Files[0].Data)
		if flag.Lookup("update").Value.String() == "true" {
			a.Files[1].Data = []byte(got.text)
			must(t, os.WriteFile("../../"+name+".txtar", txtar.Format(a), 0o644))
		}
		if got.refused || got.text == "" || got.text != string(a.Files[1].Data) {
			t.Errorf("%s: refused %v, made\n%s", name, got.refused, got.text)
		}
	}
}
