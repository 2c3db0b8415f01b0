package server

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestWaitsForTheAPI: heddled that is started while its API is away waits for it, says so once, and ends when it is told; an answer that is a refusal ends it.
func TestWaitsForTheAPI(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	kubeconfig := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(kubeconfig, []byte(`{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a}}], clusters: [{name: a, cluster: {server: "http://`+address+`"}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	options := Options{Kubeconfig: kubeconfig, CASecret: "heddle-ca", HTTPAddress: "127.0.0.1:0", StateDir: t.TempDir()}
	for _, away := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := New(ctx, options)
			done <- err
		}()
		var asked atomic.Bool
		select {
		case err := <-done:
			t.Fatalf("it does not wait: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
		if away {
			cancel()
			if err := <-done; err == nil || !strings.Contains(err.Error(), "ended before the API answered") {
				t.Errorf("ended while it waits: %v", err)
			}
			continue
		}
		again, err := net.Listen("tcp", address)
		if err != nil {
			t.Skipf("the port is somebody else's by now: %v", err)
		}
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Store(true)
			w.WriteHeader(http.StatusUnauthorized)
		}))
		s.Listener = again
		s.Start()
		if err := <-done; err == nil || !asked.Load() || !strings.Contains(err.Error(), "does not accept heddled's credentials") {
			t.Errorf("an API that refuses: %v", err)
		}
		s.Close()
		cancel()
	}
}
