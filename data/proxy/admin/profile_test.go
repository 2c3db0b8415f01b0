package admin

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestProfiles: what go tool pprof asks for, and one clear sentence for what it cannot have.
func TestProfiles(t *testing.T) {
	_, web, _ := world(t)
	get := func(path string) (int, []byte) {
		t.Helper()
		resp, err := http.Get(web.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, body
	}
	profiling.Lock()
	if status, body := get("/debug/pprof/profile?seconds=1"); status != http.StatusConflict || !strings.Contains(string(body), "another profile") {
		t.Errorf("two at a time: %d %s", status, body)
	}
	profiling.Unlock()
	_, cpu := get("/debug/pprof/profile?seconds=1")
	_, heap := get("/debug/pprof/heap")
	for name, body := range map[string][]byte{"cpu": cpu, "heap": heap} {
		unpacked, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if all, err := io.ReadAll(unpacked); err != nil || len(all) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(all), err)
		}
	}
	if _, body := get("/debug/pprof/goroutine?debug=1"); !strings.HasPrefix(string(body), "goroutine profile: total ") {
		t.Errorf("%.100s", body)
	}
	for path, want := range map[string]int{"/debug/pprof/nothing": 404, "/debug/pprof/profile?seconds=0": 400, "/debug/pprof/profile?seconds=301": 400, "/debug/pprof/profile?seconds=x": 400} {
		if status, body := get(path); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}
