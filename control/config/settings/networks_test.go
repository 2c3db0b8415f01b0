package settings_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/heddle-mesh/heddle/control/config/settings"
	"github.com/heddle-mesh/heddle/control/translate/text"
)

// TestNetworks: what is told of MeshNetworks, in pairs as those of MeshConfig.
func TestNetworks(t *testing.T) {
	const file = "testdata/networks/told.txtar"
	a, err := txtar.ParseFile(file)
	if err != nil || len(a.Files) == 0 || len(a.Files)%2 != 0 {
		t.Fatal("want pairs of meshnetworks.yaml and out", err)
	}
	for i := 0; i < len(a.Files); i += 2 {
		got := text.Told(settings.ParseNetworks(a.Files[i].Data))
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
}

func TestNetworksFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "networks.yaml")
	if err := os.WriteFile(path, []byte("networks: {n: {endpoints: [{fromRegistry: a}]}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := settings.Networks(path); err != nil || len(p) != 1 || p[0].Object.Name != path {
		t.Error(p, err)
	}
	if p, err := settings.Networks(""); err != nil || p != nil {
		t.Error(p, err)
	}
	if p, err := settings.ParseNetworks([]byte("networks: {n: {endpoint: []}}")); err == nil {
		t.Error("a field that there is not was taken: ", p)
	}
	if _, err := settings.Networks("/nothing"); err == nil || !strings.Contains(err.Error(), "--mesh-networks") {
		t.Error(err)
	}
}
