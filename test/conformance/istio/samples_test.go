package istio_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/cli"
)

// ours finds the groups of the kinds that Heddle reads.
var ours = regexp.MustCompile(`(?m)^apiVersion: (networking|security|telemetry|extensions)\.istio\.io/|^apiVersion: gateway\.networking\.k8s\.io/`)

// notHonoured are the samples of which a part has no effect yet, and what the author is told begins with.
var notHonoured = map[string]string{
	"bookinfo/policy/productpage_envoy_ratelimit.yaml": "warning EnvoyFilter/istio-system/filter-ratelimit-svc spec.configPatches[0].match.routeConfiguration.vhost.route",
}

// TestSamples: all samples of Istio that have objects of Istio's kinds or the Gateway API's are taken as they are, and `heddle validate` has nothing to say of them but what is listed.
func TestSamples(t *testing.T) {
	root := filepath.Join(istio(t), "samples")
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		if err != nil || !ours.Match(data) || bytes.Contains(data, []byte("{{")) { // templates are no objects
			return err
		}
		files++
		t.Run(name, func(t *testing.T) {
			told := validated(t, path)
			want, listed := notHonoured[name]
			if !listed && len(told) > 0 {
				t.Error(strings.Join(told, "\n"))
			}
			if listed && !slices.ContainsFunc(told, func(s string) bool { return strings.HasPrefix(s, want) }) {
				t.Errorf("want %s, told: %s", want, strings.Join(told, "\n"))
			}
		})
		return nil
	})
	if err != nil || files < 40 {
		t.Errorf("%d samples: %v", files, err)
	}
	t.Logf("%d samples", files)
}

// validated is what heddle validate says of a file.
func validated(t *testing.T, path string) (out []string) {
	t.Helper()
	stdout, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	root := cli.Root(cli.Env{Out: stdout, Log: slog.New(slog.DiscardHandler)})
	root.SetArgs([]string{"validate", "-o", "json", "-f", path})
	failed := root.Execute()
	text, err := os.ReadFile(stdout.Name())
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Findings []struct{ Level, Object, Field, Message string }
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatalf("heddle validate: %v: %v: %s", failed, err, text)
	}
	for _, l := range report.Findings {
		out = append(out, l.Level+" "+l.Object+" "+l.Field+": "+l.Message)
	}
	return out
}
