package analyze

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

func run(data []byte) []Finding {
	objects, problems := api.DecodeAll(data, "")
	settings := &mesh.Settings{RootNamespace: "istio-system", ClusterDomain: "cluster.local", TrustDomain: "cluster.local"}
	return Run(Input{Settings: settings, Objects: objects, Problems: problems})
}

func codes(list []Finding) (out []string) {
	for _, f := range list {
		out = append(out, f.Code)
	}
	return out
}

// TestMessages: what each row of the table says is said of bad objects and not of objects that are nearly the same; the field it names is in the object.
func TestMessages(t *testing.T) {
	for _, m := range Messages {
		t.Run(m.Code, func(t *testing.T) {
			a, err := txtar.ParseFile("testdata/" + m.Code + ".txtar")
			if err != nil {
				t.Fatal(err)
			}
			bad, good := run(a.Files[0].Data), run(a.Files[1].Data)
			i := slices.Index(codes(bad), m.Code)
			if i < 0 {
				t.Fatalf("not told of the bad objects: %v", bad)
			}
			if f := bad[i]; f.Text == "" || f.Hint == "" || f.Object.Name == "" || f.Means == "" {
				t.Errorf("incomplete: %+v", f)
			}
			if j := slices.Index(codes(good), m.Code); j >= 0 {
				t.Errorf("told of the good objects: %+v", good[j])
			}
		})
	}
	entries, err := os.ReadDir("testdata")
	if err != nil || len(entries) != len(Messages) {
		t.Errorf("%d files for %d messages: %v", len(entries), len(Messages), err)
	}
}

// TestSuppression: the annotation takes its codes away and no other, and for its object only.
func TestSuppression(t *testing.T) {
	const objects = `apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop, annotations: {galley.istio.io/analyze-suppress: "ANNOTATION"}}
spec: {ports: [{name: front, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: shop}
spec: {ports: [{name: front, port: 80}]}
`
	for _, c := range []struct {
		annotation string
		want       int
	}{{"", 2}, {"IST0118", 1}, {"IST0101, IST0118", 1}, {"*", 1}, {"IST0101", 2}} {
		if got := run([]byte(strings.Replace(objects, "ANNOTATION", c.annotation, 1))); len(got) != c.want {
			t.Errorf("%q: %v", c.annotation, got)
		}
	}
}

func TestTableIsOrdered(t *testing.T) {
	if !slices.IsSortedFunc(Messages, func(a, b Message) int { return strings.Compare(a.Code, b.Code) }) {
		t.Error("the table of messages is not in the order of its codes")
	}
}
