package translate_test

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/heddle-mesh/heddle/control/translate/world"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

// TestMarks: objects with labels and annotations in, what their authors are told out.
func TestMarks(t *testing.T) {
	const file = "testdata/marks.txtar"
	a, err := txtar.ParseFile(file)
	if err != nil || len(a.Files) == 0 {
		t.Fatal(err)
	}
	told, problems := world.Marks(settings, a.Files[0].Data)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var got string
	for _, p := range told {
		got += p.String() + "\n"
	}
	if *update {
		a.Files = append(a.Files[:1], txtar.File{Name: "told", Data: []byte(got)})
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if len(a.Files) != 2 {
		t.Fatal("want in.yaml and told")
	}
	if d := cmp.Diff(string(a.Files[1].Data), got); d != "" {
		t.Error(d)
	}
}
