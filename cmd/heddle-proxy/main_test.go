package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return runWith(t.Context(), args...)
}

func runWith(ctx context.Context, args ...string) (string, error) {
	cmd := command(ctx, ctx)
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.Execute()
	return out.String(), err
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bootstrap.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestValidate(t *testing.T) {
	good, bad := file(t, "static_resources: {clusters: [{name: a, type: STATIC}]}"), file(t, "static_resources: {clusters: [{name: a, type: STATIC, lb_policy: CLUSTER_PROVIDED, track_cluster_stats: {}}]}")
	if out, err := run(t, "-c", good, "--mode", "validate"); err != nil || !strings.HasSuffix(out, "OK\n") {
		t.Errorf("%q %v", out, err)
	}
	out, err := run(t, "-c", bad, "--mode", "validate")
	if err == nil || !strings.Contains(err.Error(), "2 fields cannot be honoured") {
		t.Errorf("error %v", err)
	}
	for _, want := range []string{"static_resources.clusters[0].track_cluster_stats: the field is not supported\n", "static_resources.clusters[0].lb_policy: CLUSTER_PROVIDED is for"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %q", want, out)
		}
	}
}

func TestMistakesAreOneSentence(t *testing.T) {
	good := file(t, "admin: {address: {socket_address: {address: 0.0.0.0, port_value: 1}}}")
	sidecar := []string{"sidecar", "--xds-address", "unix:/nowhere", "--name", "a", "--namespace", "b", "--service-account", "c", "--ip", "10.0.0.1", "--no-dns"}
	with := func(more ...string) []string { return append(sidecar[:len(sidecar):len(sidecar)], more...) }
	for want, args := range map[string][]string{
		"nothing to do":                       {},
		"no such file":                        {"-c", "/nowhere/x.yaml"},
		"--mode \"test\"":                     {"-c", good, "--mode", "test"},
		"can be reached from other":           {"-c", good},
		"--log-level \"loud\"":                {"-c", good, "--log-level", "loud"},
		"--supervisor-fd":                     {"-c", good, "--supervisor-fd", "99"},
		"is shorter than --drain-time":        {"-c", good, "--parent-shutdown-time", "1s"},
		"supervise: nothing to run":           {"supervise"},
		"no supervisor answers":               {"hot-restart", "--socket", "/nowhere/x.sock"},
		"hot-restart: --socket is missing":    {"hot-restart"},
		"--outside-dialer \"/x\"":             {"-c", good, "--outside-dialer", "/x"},
		"--inside \"x\"":                      {"-c", good, "--inside", "x"},
		"--concurrency":                       {"-c", good, "--concurrency", "-1"},
		"--xds-address is missing":            {"sidecar"},
		"--name is missing":                   {"sidecar", "--xds-address", "unix:/x"},
		"--ip is missing":                     {"gateway", "--xds-address", "unix:/x", "--name", "a", "--namespace", "b", "--service-account", "c"},
		"--ip \"x\"":                          with("--ip", "x"),
		"--label \"x\"":                       with("--label", "x"),
		"INTERCEPTION":                        with("--interception-mode", "INTERCEPTION"),
		"--application \"9000\"":              with("--application", "9000"),
		"--application is for":                with("--application", "15006=127.0.0.1:9000"),
		"--application 15006=10.0.0.1:9000":   with("--interception-mode", "NONE", "--application", "15006=10.0.0.1:9000"),
		"trust domain":                        with("--trust-domain", "A"),
		"token would travel in plaintext":     {"sidecar", "--xds-address", "10.0.0.1:15012", "--token-file", "/x", "--name", "a", "--namespace", "b", "--service-account", "c", "--ip", "10.0.0.1"},
		"missing; it says where the control":  {"agent", "--envoy", "/bin/true", "--name", "a", "--ip", "10.0.0.1"},
		"--outside-dialer cannot be honoured": {"agent", "--outside-dialer", "unix:/x"},
		"--accept-time cannot be honoured":    {"agent", "--accept-time", "5s"},
		"--drain-time-s cannot be honoured":   {"agent", "--drain-time-s", "5"},
		"--drain-time-s is about a proxy":     {"grpc-agent", "--drain-time-s", "5"},
		"--concurrency is about a proxy":      {"grpc-agent", "--concurrency", "2"},
		"--log-level \"soft\"":                {"grpc-agent", "--log-level", "soft"},
	} {
		out, err := run(t, args...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || strings.Contains(out, "Usage") {
			t.Errorf("%v: error %v, want %q; output %q", args, err, want, out)
		}
	}
}

func TestVersion(t *testing.T) {
	if out, err := run(t, "version"); err != nil || out != version+"\n" {
		t.Errorf("%q %v", out, err)
	}
}

func TestASidecarEndsCleanly(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "admin.sock")
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // both signals have come already
	_, err := runWith(ctx, "sidecar", "--xds-address", "unix:/nowhere", "--name", "a", "--namespace", "b", "--service-account", "c", "--ip", "10.0.0.1", "--no-dns", "--admin-socket", socket, "--log-level", "error", "--concurrency", "1")
	if err == nil || !strings.Contains(err.Error(), "at once") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(socket); err == nil {
		t.Error("the admin socket is left behind")
	}
}
