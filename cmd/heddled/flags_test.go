package main

import (
	"strings"
	"testing"
	"time"
)

// A mistake in the flags is one sentence that names the flag and the next step.
func TestMistakesInFlags(t *testing.T) {
	for want, args := range map[string][]string{
		`"extra"`:           {"--config-dir", "x", "extra"},
		"debug, info":       {"--config-dir", "x", "--log-level", "loud"},
		"256Mi":             {"--config-dir", "x", "--memory-limit", "much"},
		"must not be empty": {"--config-dir", "x", "--cluster-id", ""},
		"heddled --help":    {"--config-dri", "x"},
	} {
		if _, err := parse(args); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestTwoKubeconfigs(t *testing.T) {
	o, err := parse([]string{"--kubeconfig", "a", "--cluster-kubeconfig", "b"})
	if err != nil || o.Kubeconfig != "a" || o.ClusterKubeconfig != "b" {
		t.Error(o.Options, err)
	}
}

func TestFlags(t *testing.T) {
	o, err := parse([]string{"--config-dir", "d", "--xds-socket", "a", "--xds-socket", "b", "--tls-name", "n", "--memory-limit", "64Mi", "--debounce", "5ms", "--log-level", "warn"})
	if err != nil {
		t.Fatal(err)
	}
	if o.ConfigDir != "d" || len(o.XDSSockets) != 2 || len(o.TLSNames) != 1 || o.memoryLimit != 64<<20 || o.Quiet != 5*time.Millisecond || o.logLevel != 4 ||
		o.XDSAddress != "127.0.0.1:15010" || !o.LeaderElection || o.ClusterID == "" {
		t.Errorf("%+v", o)
	}
}
