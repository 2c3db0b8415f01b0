package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestWaitsForTheAPI: heddled that is started while its API is away waits for it, and ends when it is told; an answer that is a refusal ends it.
func TestWaitsForTheAPI(t *testing.T) {
	var back atomic.Bool
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !back.Load() {
			panic(http.ErrAbortHandler) // closes the connection
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer api.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, c := range []struct{ url, want string }{{gone.URL, "ended before the API answered"}, {api.URL, "does not accept heddled's credentials"}} {
		kubeconfig := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(kubeconfig, []byte(`{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a}}], clusters: [{name: a, cluster: {server: "`+c.url+`"}}]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() {
			_, err := New(ctx, Options{Kubeconfig: kubeconfig, CASecret: "heddle-ca", HTTPAddress: "127.0.0.1:0", StateDir: t.TempDir()})
			done <- err
		}()
		select {
		case err := <-done:
			t.Fatalf("%s: it does not wait: %v", c.url, err)
		case <-time.After(100 * time.Millisecond):
		}
		if c.url == gone.URL {
			cancel()
		} else {
			back.Store(true)
		}
		if err := <-done; err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.url, err, c.want)
		}
	}
}
