package observe

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage/remote"
)

// receiver takes what a remote writer sends.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	down   bool
	got    map[string]map[float64]bool // values by name
	labels map[string]string
	tenant string
}

func newReceiver(t *testing.T) *receiver {
	x := &receiver{got: map[string]map[float64]bool{}}
	x.Server = httptest.NewTLSServer(http.HandlerFunc(x.take))
	t.Cleanup(x.Close)
	return x
}

func (x *receiver) take(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.down {
		http.Error(w, "out of order", http.StatusServiceUnavailable)
		return
	}
	all, err := remote.DecodeWriteRequest(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	x.tenant = r.Header.Get("X-Scope-OrgID")
	for _, s := range all.Timeseries {
		labels := map[string]string{}
		for _, l := range s.Labels {
			labels[l.Name] = l.Value
		}
		name := labels["__name__"]
		if x.got[name] == nil {
			x.got[name] = map[float64]bool{}
		}
		for _, p := range s.Samples {
			if !value.IsStaleNaN(p.Value) {
				x.got[name][p.Value] = true
			}
		}
		if name == "sent" {
			x.labels = labels
		}
	}
}

func (x *receiver) set(down bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.down = down
}

// TestRemoteWrite: samples go to a receiver over TLS with the given headers and labels, refused series do not; a receiver that is away holds up neither scrapes nor
// queries, and gets afterwards what it has missed.
func TestRemoteWrite(t *testing.T) {
	out := newReceiver(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: out.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	x := newTarget(t, "sent 1\n")
	o := options(t, jobsOf(x)+fmt.Sprintf(`remote_write:
- url: %s/push
  headers: {X-Scope-OrgID: mesh}
  tls_config: {ca_file: %s}
  queue_config: {capacity: 20, max_shards: 1, max_samples_per_send: 10, batch_send_deadline: 1s, min_backoff: 30ms, max_backoff: 100ms}
`, out.URL, ca))
	o.Series.PerTarget = 2
	r := run(t, o)
	received := func(name string, v float64) {
		t.Helper()
		for range 200 {
			out.mu.Lock()
			got := out.got[name][v]
			out.mu.Unlock()
			if got {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Fatalf("%s=%g was not received", name, v)
	}
	received("sent", 1)
	out.mu.Lock()
	if out.tenant != "mesh" || out.labels["job"] != "job0" || out.labels["instance"] != "it" {
		t.Errorf("as tenant %q with labels %v", out.tenant, out.labels)
	}
	out.mu.Unlock()
	out.set(true)
	for v := 2.0; v < 5; v++ {
		x.says(fmt.Sprintf("sent %g\nsecond %g\nbeyond %g\n", v, v, v))
		r.becomes(`sent`, v)
		r.becomes(`second`, v)
	}
	out.set(false)
	for v := 2.0; v < 5; v++ {
		received("sent", v)
	}
	received("second", 4)
	out.mu.Lock()
	defer out.mu.Unlock()
	if len(out.got["beyond"]) > 0 {
		t.Errorf("a refused series was sent: %v", out.got["beyond"])
	}
}
