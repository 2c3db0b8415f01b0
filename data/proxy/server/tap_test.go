package server

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/telemetry/tap"
)

// tap opens the stream of a proxy's requests.
func (p *proxy) tap(t *testing.T, ctx context.Context, method, query string) *http.Response {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", p.opts.AdminSocket)
	}}}
	req, err := http.NewRequestWithContext(ctx, method, "http://proxy/tap?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestTapShowsRequests(t *testing.T) {
	at := free(t)
	p := start(t, bootstrap(listener("front", at, ""), cluster(app(t).Listener.Addr().String())))
	p.ready(t)
	ask := func(path string) {
		req, err := http.NewRequest(http.MethodGet, "http://"+at+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer geheim")
		req.Header.Set("Cookie", "geheim")
		req.Header.Set("X-Shown", "yes")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	ask("/before") // nobody listens
	few := p.tap(t, t.Context(), http.MethodGet, "path=/a&status=2xx&direction=unspecified&header=x-shown:yes&limit=2")
	open := p.tap(t, t.Context(), http.MethodPost, "secrets=show&limit=1")
	for _, path := range []string{"/a/1?q=2", "/b", "/a/2"} {
		ask(path)
	}
	var seen []string
	lines := bufio.NewScanner(few.Body)
	for lines.Scan() { // it ends by itself
		var e tap.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		seen = append(seen, e.Path)
		if strings.Contains(lines.Text(), "geheim") || strings.Count(lines.Text(), "[redacted]") != 2 || !strings.Contains(lines.Text(), `["x-shown","yes"]`) {
			t.Errorf("headers of %s", lines.Text())
		}
		if e.Status != 200 || e.Cluster != "app" || e.Endpoint == "" || e.Attempts != 1 || e.Host != "all" || e.Duration < e.ResponseBegan || e.ResponseBegan < e.RequestDone || e.RequestDone < 0 || e.Sent == 0 || len(e.Response) == 0 || e.Details != "via_upstream" {
			t.Errorf("%+v", e)
		}
	}
	if got := strings.Join(seen, " "); got != "/a/1?q=2 /a/2" {
		t.Errorf("shown: %s", got)
	}
	lines = bufio.NewScanner(open.Body)
	if !lines.Scan() || !strings.Contains(lines.Text(), "Bearer geheim") {
		t.Errorf("with secrets: %s", lines.Text())
	}
	for query, want := range map[string]string{"status=x": "status", "sample=0": "sample", "secrets=show": "POST", "nope=1": "unknown", "limit=0": "limit", "slower=x": "slower", "direction=up": "direction"} {
		if resp := p.tap(t, t.Context(), http.MethodGet, query); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s, want a sentence about %s", query, resp.Status, want)
		}
	}
}

// TestTapsAreFew: a ninth is refused, and one that leaves makes room.
func TestTapsAreFew(t *testing.T) {
	p := start(t, bootstrap(listener("front", free(t), ""), cluster(app(t).Listener.Addr().String())))
	p.ready(t)
	ctx, leave := context.WithCancel(t.Context())
	for range 8 {
		if resp := p.tap(t, ctx, http.MethodGet, ""); resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
	}
	if resp := p.tap(t, t.Context(), http.MethodGet, ""); resp.StatusCode != http.StatusTooManyRequests {
		t.Error(resp.Status)
	}
	leave()
	for p.tap(t, t.Context(), http.MethodGet, "limit=1").StatusCode != http.StatusOK { // until the first has gone
	}
}
