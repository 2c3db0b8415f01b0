package settings_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/heddle-mesh/heddle/control/config/settings"
	"github.com/heddle-mesh/heddle/control/translate/text"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

// TestGoldens: a MeshConfig in, and what it means beside the default settings, or what its owner is told. A fixture is one behaviour, and may have several such pairs.
func TestGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no goldens", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil || len(a.Files)%2 != 0 {
				t.Fatal("want pairs of meshconfig.yaml and out", err)
			}
			for i := 0; i < len(a.Files); i += 2 {
				got := text.Settings(settings.Parse(a.Files[i].Data))
				if d := cmp.Diff(string(a.Files[i+1].Data), got); d != "" && !*update {
					t.Errorf("pair %d: %s", i/2+1, d)
				}
				a.Files[i+1].Data = []byte(got)
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
