package cli_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/platform/observe"
	"github.com/heddle-mesh/heddle/platform/observe/query"
	"github.com/heddle-mesh/heddle/platform/observe/scrape"
)

// metricsStore starts a store that scrapes nothing, behind a token.
func metricsStore(t *testing.T) (address, tokenFile string) {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, []byte("global: {evaluation_interval: 1s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := observe.New(observe.Options{
		Config: config, Dir: filepath.Join(dir, "data"), Address: "127.0.0.1:0", TokenFile: filepath.Join(dir, "token"), Retention: time.Hour, Block: time.Hour, Log: slog.New(slog.DiscardHandler),
		Series: scrape.Limits{Series: 10, PerTarget: 10}, Queries: query.Limits{Timeout: time.Second, Samples: 1000, Concurrent: 1, Lookback: time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s.Address(), filepath.Join(dir, "token")
}

// ask runs heddle query, and gives what it prints on both.
func ask(t *testing.T, args ...string) (out, errs string) {
	t.Helper()
	self, err := exec.LookPath("heddle")
	if err != nil {
		self = os.Args[0]
	}
	cmd := exec.Command(self, args...)
	cmd.Args[0] = "heddle"
	var o, e strings.Builder
	cmd.Stdout, cmd.Stderr = &o, &e
	_ = cmd.Run() // what is wrong is in errs
	return o.String(), e.String()
}

// TestQuery asks a real store: values of each kind, in each format, and each mistake with one sentence.
func TestQuery(t *testing.T) {
	address, token := metricsStore(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"vector(1)"}, "VALUE\n1\n"},
		{[]string{"1.5"}, "VALUE\n1.5\n"},
		{[]string{"nothing"}, "no series\n"},
		{[]string{"nothing", "-o", "csv"}, "value\n"},
		{[]string{`label_replace(label_replace(vector(3), "b", "x\ty", "", ""), "a", "1", "", "")`}, "A   B     VALUE\n1   x?y   3\n"},
		{[]string{`label_replace(vector(3), "__name__", "up", "", "")`, "-o", "csv"}, "metric,value\nup,3\n"},
		{[]string{"vector(time())", "--time", "100", "-o", "csv"}, "value\n100\n"},
		{[]string{"vector(time())", "--time", "1970-01-01T00:02:00Z", "--range", "1m", "--step", "30s"}, "TIME                   VALUE\n1970-01-01T00:01:00Z   60\n1970-01-01T00:01:30Z   90\n1970-01-01T00:02:00Z   120\n"},
		{[]string{"vector(7)", "--time", "5", "-o", "json"}, "{\n  \"resultType\": \"vector\",\n  \"result\": [\n    {\n      \"metric\": {},\n      \"value\": [\n        5,\n        \"7\"\n      ]\n    }\n  ]\n}\n"},
		{[]string{"vector(7)", "--time", "5", "-o", "yaml"}, "result:\n- metric: {}\n  value:\n  - 5\n  - \"7\"\nresultType: vector\n"},
	} {
		if out, errs := ask(t, append([]string{"query", "--address", address, "--token-file", token}, c.args...)...); out != c.want || errs != "" {
			t.Errorf("%v prints\n%swant\n%s%s", c.args, out, c.want, errs)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"sum(", "--address", address, "--token-file", token}, "heddle: the expression is not PromQL: 1:5: parse error: unclosed left parenthesis"},
		{[]string{"up", "--address", address}, "heddle: ask the metrics: client error: 401"},
		{[]string{"up"}, "heddle: no mesh is running here"},
		{[]string{}, "heddle: give one expression, in quotes"},
		{[]string{"up", "down"}, "heddle: give one expression, in quotes"},
		{[]string{"up", "-o", "wide"}, "heddle: -o wide is not known; use table, json, yaml, csv\n"},
		{[]string{"up", "--step", "1s"}, "heddle: --step means nothing without --range\n"},
		{[]string{"up", "--range", "-1s"}, "heddle: --range -1s is before now already; leave the sign out\n"},
		{[]string{"up", "--time", "noon"}, `heddle: --time "noon" is not a moment; write it as`},
		{[]string{"up", "--address", "127.0.0.1:1"}, "heddle: ask the metrics: "},
		{[]string{"up", "--address", address, "--token-file", "/nowhere"}, "heddle: read the token: open /nowhere: no such file or directory\n"},
	} {
		if out, errs := ask(t, append([]string{"query"}, c.args...)...); out != "" || !strings.HasPrefix(errs, c.want) {
			t.Errorf("%v says %q, want %q (and nothing else: %q)", c.args, errs, c.want, out)
		}
	}
}
