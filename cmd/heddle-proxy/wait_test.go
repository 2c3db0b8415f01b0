package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestWait(t *testing.T) {
	var asked atomic.Int32
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer page.Close()
	for _, x := range []struct{ args, want string }{
		{"--url " + page.URL, ""},
		{"--for 1ms", ""},
		{"", "give one of"},
		{"--for 1s --url x", "give one of"},
		{"--for -1s", "positive"},
		{"--url http://127.0.0.1:1 --timeout 150ms", "gave up"},
	} {
		cmd := waitCommand(t.Context())
		cmd.SetArgs(strings.Fields(x.args))
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		if err := cmd.Execute(); (x.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("wait %s: %v", x.args, err)
		}
	}
	if asked.Load() != 3 {
		t.Errorf("asked %d times, want 3", asked.Load())
	}
}
