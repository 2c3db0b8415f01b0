package serve

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/client"
)

func mustNew(t *testing.T, url, name string, m proto.Message) *xds.Resource {
	t.Helper()
	r, err := xds.New(xds.Name{TypeURL: url, Name: name}, m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func ask(t *testing.T, h http.Handler, method, path, bearer string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestDebugPages(t *testing.T) {
	w := start(t, Options{})
	w.publish([]*xds.Resource{
		mustNew(t, xds.Cluster, "outbound|80||a", &clusterv3.Cluster{Name: "outbound|80||a"}),
		mustNew(t, xds.Route, "80", &routev3.RouteConfiguration{Name: "80"}),
		mustNew(t, xds.VirtualHost, "80/a", &routev3.VirtualHost{Name: "80/a", Domains: []string{"a"}}),
		res(xds.Secret, "gw", "very secret"),
	})
	r := newRecorder()
	w.connect(t, r, false, node(sidecar, "default", "alice"), func(c *client.Client) {
		c.Subscribe(xds.Cluster)
		c.Subscribe(xds.Route, "80")
		c.Subscribe(xds.VirtualHost)
		c.Subscribe(xds.Secret, "gw")
	})
	for _, want := range []string{"acked cds outbound|80||a", "acked vhds 80/a", "acked sds gw"} {
		w.observer.until(t, want, func() bool { return slices.Contains(w.observer.log(), want) })
	}
	h := w.server.Debug("sesame")
	for _, wrong := range []string{"", "Sesame", "sesam"} {
		if code, body := ask(t, h, "GET", "/debug/syncz", wrong); code != http.StatusUnauthorized || strings.Contains(body, "pod") {
			t.Errorf("token %q: %d %s", wrong, code, body)
		}
	}
	if code, _ := ask(t, w.server.Debug(""), "GET", "/debug/syncz", ""); code != http.StatusUnauthorized {
		t.Errorf("without a token: %d", code)
	}
	_, body := ask(t, h, "GET", "/debug/syncz", "sesame")
	var sync []syncStatus
	if err := json.Unmarshal([]byte(body), &sync); err != nil || len(sync) != 1 {
		t.Fatal(err, body)
	}
	if s := sync[0]; s.ProxyID != "pod.default" || s.ClusterSent == "" || s.ClusterSent != s.ClusterAcked || s.ListenerSent != "" || s.ClusterID == "" {
		t.Errorf("%+v", s)
	}
	for _, id := range []string{"pod.default", sidecar} {
		code, body := ask(t, h, "GET", "/debug/config_dump?proxy="+id, "sesame")
		if code != 200 || !strings.Contains(body, `"outbound|80||a"`) || !strings.Contains(body, `"domains"`) || !strings.Contains(body, `"gw"`) {
			t.Errorf("%s: %d %s", id, code, body)
		}
		if strings.Contains(body, "secret\"") || strings.Contains(body, "dmVyeSBzZWNyZXQ") {
			t.Error("a secret is told")
		}
	}
	if code, body := ask(t, h, "GET", "/debug/config_dump?proxy=nobody", "sesame"); code != 404 || !strings.Contains(body, "nobody") {
		t.Error(code, body)
	}
	if code, body := ask(t, h, "GET", "/debug/connections", "sesame"); code != 200 || !strings.Contains(body, `"totalClients": 1`) || !strings.Contains(body, alice) {
		t.Error(code, body)
	}
	if code, body := ask(t, h, "POST", "/debug/force_disconnect?proxy=pod.default", "sesame"); code != 200 || !strings.Contains(body, `"disconnected": 1`) {
		t.Error(code, body)
	}
	w.observer.until(t, "it came back", func() bool {
		n := 0
		for _, e := range w.observer.log() {
			if strings.HasPrefix(e, "connected") {
				n++
			}
		}
		return n == 2
	})
}
