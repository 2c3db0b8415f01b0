package web

import (
	"encoding/json"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/platform/observe/graph"
	"github.com/heddle-mesh/heddle/test/metrics"
)

// small is a mesh of two services.
type small struct{ store *config.Store }

func (small) Current() *mesh.Snapshot {
	s := mesh.NewSnapshot(&mesh.Settings{})
	s.Revision = 7
	for _, n := range []string{"checkout", "quiet"} {
		id := mesh.ServiceID{Namespace: "shop", Host: mesh.Host(n + ".shop.svc.cluster.local")}
		s.Services = s.Services.With(id, &mesh.Service{ID: id, ShortName: n, Ports: []mesh.Port{{Name: "http", Number: 8080}}})
		s.Endpoints = s.Endpoints.With(id, &mesh.EndpointSet{Service: id, Endpoints: []*mesh.Endpoint{{}, {Health: mesh.Unhealthy}}})
		w := mesh.WorkloadID{Cluster: "laptop", Namespace: "shop", Kind: "Pod", Name: n + "-v1-x"}
		s.Workloads = s.Workloads.With(w, &mesh.Workload{ID: w, Name: n + "-v1", Services: []mesh.WorkloadService{{Service: id}}})
	}
	return s
}
func (m small) Objects() iter.Seq[*config.Entry] { return m.store.All() }
func (small) Proxies() []string                  { return []string{"checkout-v1.shop"} }
func (small) Problems() []mesh.Problem {
	return []mesh.Problem{
		{Object: api.Ref{Group: "networking.istio.io", Kind: "VirtualService", Namespace: "shop", Name: "broken"}, Field: "spec.http[0]", Code: "NotFound", Message: "host nowhere is not there", Hint: "name one that is"},
		{Code: "Invalid", Message: "of no object"},
	}
}

const secret = "the-token"

func dashboard(t *testing.T, o Options) *httptest.Server {
	t.Helper()
	o.Token, o.Log = secret, slog.New(slog.DiscardHandler)
	if o.Address == "" {
		o.Address = "127.0.0.1:20001"
	}
	store := config.New()
	objects, problems := api.DecodeAll([]byte("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: broken, namespace: shop}\nspec: {hosts: [a], http: [{route: [{destination: {host: nowhere}}]}]}\n"), "f.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	store.Put("f.yaml", objects[0], nil)
	o.Mesh = small{store}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// call makes a request with some headers, NAME: VALUE each, and does not follow redirections.
func call(t *testing.T, s *httptest.Server, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp, string(b)
}

const bearer = "Authorization: Bearer " + secret

func TestOnlyWhoIsLoggedInReads(t *testing.T) {
	s := dashboard(t, Options{})
	for _, path := range []string{"/api/status", "/api/graph", "/api/services", "/api/workloads", "/api/objects", "/api/none"} {
		for _, h := range []string{"X: y", "Authorization: Bearer wrong", "Cookie: heddle_session=99999999999.00", "Cookie: heddle_session="} {
			if resp, _ := call(t, s, "GET", path, "", h); resp.StatusCode != 401 {
				t.Errorf("%s with %s: %d", path, h, resp.StatusCode)
			}
		}
	}
	if resp, body := call(t, s, "GET", "/api/status", "", bearer); resp.StatusCode != 200 || !strings.Contains(body, `"revision":7`) {
		t.Error(resp.StatusCode, body)
	}
}

// A link logs in once, and what it is changed for works like the token, but makes no further links.
func TestLink(t *testing.T) {
	s := dashboard(t, Options{})
	_, body := call(t, s, "POST", "/api/link", "", bearer)
	var link struct{ Path string }
	if err := json.Unmarshal([]byte(body), &link); err != nil || link.Path == "" {
		t.Fatal(body, err)
	}
	resp, _ := call(t, s, "GET", link.Path, "")
	if resp.StatusCode != 303 || resp.Header.Get("Location") != "/" || len(resp.Cookies()) != 1 {
		t.Fatal(resp.Status, resp.Header)
	}
	c := resp.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/api" {
		t.Errorf("%+v", c)
	}
	cookie := "Cookie: " + c.Name + "=" + c.Value
	if resp, _ := call(t, s, "GET", "/api/status", "", cookie); resp.StatusCode != 200 {
		t.Error("the cookie does not log in:", resp.Status)
	}
	if resp, _ := call(t, s, "POST", "/api/link", "", cookie); resp.StatusCode != 403 {
		t.Error("a cookie makes links:", resp.Status)
	}
	if resp, _ := call(t, s, "GET", link.Path, ""); len(resp.Cookies()) != 0 || resp.Header.Get("Location") != "/login?used" {
		t.Error("a link works twice:", resp.Header)
	}
	if resp, _ := call(t, s, "GET", "/?token="+secret, ""); len(resp.Cookies()) != 0 {
		t.Error("the token itself works in an address")
	}
}

func TestLinksAndSessionsEnd(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	k := keys{secret: secret, now: func() time.Time { return now }}
	session := k.session(now.Add(sessionTime))
	for range 3 * maxLinks {
		k.link()
	}
	if len(k.links) > maxLinks {
		t.Errorf("%d links are kept", len(k.links))
	}
	link := k.link()
	other := keys{secret: "another", now: k.now}
	if !k.holds(session) || other.holds(session) {
		t.Error("a session is not that of its token")
	}
	if now = now.Add(linkTime + time.Second); k.use(link) {
		t.Error("a link works after its time")
	}
	if now = now.Add(sessionTime); k.holds(session) {
		t.Error("a session holds after its time")
	}
}

func TestLoginWithTheToken(t *testing.T) {
	s := dashboard(t, Options{Address: "0.0.0.0:20001"})
	if resp, _ := call(t, s, "POST", "/api/login", `{"token": "wrong"}`); resp.StatusCode != 401 || len(resp.Cookies()) != 0 {
		t.Error(resp.Status)
	}
	resp, _ := call(t, s, "POST", "/api/login", `{"token": "`+secret+`"}`, "Host: mesh.example.com")
	if resp.StatusCode != 200 || len(resp.Cookies()) != 1 {
		t.Error(resp.Status)
	}
	if resp, _ := call(t, s, "POST", "/api/link", "", bearer); resp.StatusCode != 403 {
		t.Error("links are made where others could read them:", resp.Status)
	}
}

// Other sites can neither call nor read: not under another name, not with the browser's cookie.
func TestOtherSites(t *testing.T) {
	s := dashboard(t, Options{})
	own := strings.TrimPrefix(s.URL, "http://")
	for _, c := range []struct {
		path    string
		headers []string
		code    int
	}{
		{"/api/status", []string{bearer, "Host: evil.example:20001"}, 403},
		{"/", []string{"Host: evil.example"}, 403},
		{"/api/status", []string{bearer, "Host: 127.0.0.1.evil.example"}, 403},
		{"/api/status", []string{bearer, "Host: localhost:20001"}, 200},
		{"/api/status", []string{bearer, "Host: [::1]:20001"}, 200},
		{"/api/status", []string{bearer, "Origin: http://evil.example"}, 403},
		{"/api/status", []string{bearer, "Origin: null"}, 403},
		{"/api/status", []string{bearer, "Origin: http://127.0.0.1:1"}, 403},
		{"/api/status", []string{bearer, "Origin: http://" + own}, 200},
		{"/api/status", []string{bearer, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"}, 403},
		{"/api/status", []string{bearer, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors"}, 403},
		{"/topology", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"}, 200},
		{"/topology", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"}, 403},
	} {
		if resp, body := call(t, s, "GET", c.path, "", c.headers...); resp.StatusCode != c.code {
			t.Errorf("%s %v: %d, want %d: %s", c.path, c.headers, resp.StatusCode, c.code, body)
		}
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	s := dashboard(t, Options{})
	for _, path := range []string{"/", "/api/status", "/none.js", "/?token=x"} {
		resp, _ := call(t, s, "GET", path, "")
		csp := resp.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: no %s in %q", path, want, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", path, resp.Header)
		}
	}
}

func TestPages(t *testing.T) {
	if _, body := call(t, dashboard(t, Options{}), "GET", "/topology", ""); !strings.Contains(body, "make ui") {
		t.Error("what is missing is not told:", body)
	}
	s := dashboard(t, Options{Page: fstest.MapFS{"index.html": {Data: []byte("<p>page")}, "assets/a-1.js": {Data: []byte(strings.Repeat("x", 5000))}}})
	for path, want := range map[string]string{"/": "<p>page", "/services/shop/web": "<p>page", "/assets/a-1.js": "xxx", "/gone.js": "there is no /gone.js"} {
		if _, body := call(t, s, "GET", path, ""); !strings.HasPrefix(strings.TrimPrefix(body, `{"error":"`), want) {
			t.Errorf("%s: %.80s", path, body)
		}
	}
	resp, body := call(t, s, "GET", "/assets/a-1.js", "", "Accept-Encoding: gzip")
	if resp.Header.Get("Content-Encoding") != "gzip" || len(body) > 200 || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") || !strings.Contains(resp.Header.Get("Content-Type"), "javascript") {
		t.Error(resp.Header, len(body))
	}
}

func TestAnswers(t *testing.T) {
	s := dashboard(t, Options{Metrics: metrics.New(t, metrics.Shop())})
	read := func(path string, to any) {
		resp, body := call(t, s, "GET", path, "", bearer)
		if err := json.Unmarshal([]byte(body), to); err != nil || resp.StatusCode != 200 {
			t.Fatal(path, resp.Status, body, err)
		}
	}
	var g graph.Graph
	if read("/api/graph?type=app&window=30s&namespaces=shop", &g); g.Type != graph.App || g.Window != 30 || len(g.Edges) < 10 {
		t.Errorf("%+v", g)
	}
	var services list[serviceRow]
	if read("/api/services", &services); len(services.Items) != 2 || services.Items[0].Health.State != graph.Failing || services.Items[0].Healthy != 1 || services.Items[0].Endpoints != 2 || services.Items[1].Health.State != graph.Idle {
		t.Errorf("%+v", services)
	}
	var workloads list[workloadRow]
	if read("/api/workloads", &workloads); len(workloads.Items) != 2 || workloads.Items[0].Name != "checkout-v1" || workloads.Items[0].In.P95 == nil || workloads.Items[0].Services[0] != "checkout.shop.svc.cluster.local" {
		t.Errorf("%+v", workloads)
	}
	var objects struct {
		Items    []objectRow
		Findings []orphan
	}
	if read("/api/objects", &objects); len(objects.Items) != 1 || len(objects.Items[0].Findings) != 1 || objects.Items[0].Source != "f.yaml:1" || len(objects.Findings) != 1 {
		t.Errorf("%+v", objects)
	}
}

// A mesh without metrics is shown without traffic, and says how to get some.
func TestWithoutMetrics(t *testing.T) {
	s := dashboard(t, Options{})
	if resp, body := call(t, s, "GET", "/api/graph", "", bearer); resp.StatusCode != 501 || !strings.Contains(body, "--metrics-url") {
		t.Error(resp.Status, body)
	}
	if resp, body := call(t, s, "GET", "/api/services", "", bearer); resp.StatusCode != 200 || !strings.Contains(body, `"warning":"heddled was told of no metrics`) || !strings.Contains(body, `"quiet"`) {
		t.Error(resp.Status, body)
	}
}

func TestMistakesInQuestions(t *testing.T) {
	s := dashboard(t, Options{Metrics: metrics.New(t, nil)})
	for query, want := range map[string]string{"type=pods": "versionedApp", "window=1ns": "5s to 24h", "window=x": "such as 60s", "time=noon": "2026-01-31", "namespaces=" + strings.Repeat("a,", 101): "100 namespaces"} {
		if resp, body := call(t, s, "GET", "/api/graph?"+query, "", bearer); resp.StatusCode != 400 || !strings.Contains(body, want) {
			t.Error(query, resp.Status, body)
		}
	}
	if _, err := Prometheus("localhost", ""); err == nil || !strings.Contains(err.Error(), "http://127.0.0.1:9090") {
		t.Error(err)
	}
}

// An answer without end is cut off, and a token is shown.
func TestPrometheusIsBounded(t *testing.T) {
	if n, err := io.Copy(io.Discard, &limited{io.NopCloser(strings.NewReader(strings.Repeat("x", 100))), 60}); n != 60 || err == nil {
		t.Error(n, err)
	}
}

func TestSeries(t *testing.T) {
	s := dashboard(t, Options{Metrics: metrics.New(t, metrics.Shop())})
	var out struct {
		Step   float64
		Charts []chart
	}
	resp, body := call(t, s, "GET", "/api/series?of=workload&namespace=shop&name=checkout-v1&range=5m", "", bearer)
	if err := json.Unmarshal([]byte(body), &out); err != nil || resp.StatusCode != 200 || len(out.Charts) != 4 {
		t.Fatal(resp.Status, body, err)
	}
	last := func(chart, line string) float64 {
		for _, c := range out.Charts {
			for _, l := range c.Lines {
				if c.Name == chart && l.Name == line && l.Values[len(l.Values)-1] != nil {
					return *l.Values[len(l.Values)-1]
				}
			}
		}
		t.Errorf("%s has no %s: %s", chart, line, body)
		return -1
	}
	if ok, bad, share := last("Requests", "200"), last("Requests", "503"), last("Errors", "5xx or none"); ok < 1 || ok > 1.2 || bad < .55 || bad > .65 || share < .34 || share > .36 {
		t.Error(ok, bad, share)
	}
	if p := last("Time", "95 %"); p < 5 || p > 10 {
		t.Error("the 95th percentile is", p)
	}
	if zero := last("Errors", "4xx"); zero != 0 {
		t.Error("none is", zero)
	}
	for query, want := range map[string]string{"of=pod&name=x": "workload, service", "of=workload": "say which", "of=mesh&range=1s": "1m0s to 24h", "of=mesh&end=noon": "seconds since 1970"} {
		if resp, body := call(t, s, "GET", "/api/series?"+query, "", bearer); resp.StatusCode != 400 || !strings.Contains(body, want) {
			t.Error(query, resp.Status, body)
		}
	}
	for _, of := range []string{"mesh", "control", "service&name=mail&namespace=shop", "app&name=catalog&namespace=shop"} {
		if resp, body := call(t, s, "GET", "/api/series?of="+of, "", bearer); resp.StatusCode != 200 {
			t.Error(of, resp.Status, body)
		}
	}
}

// Each badge is worn by the service that it is about, and by who serves it.
func TestBadges(t *testing.T) {
	now := small{}.Current()
	host := mesh.Host("checkout.shop.svc.cluster.local")
	id := mesh.ServiceID{Namespace: "shop", Host: host}
	now.Hosts = now.Hosts.With(host, []mesh.ServiceID{id})
	wait := time.Second
	ref := mesh.Ref{Kind: "VirtualService", Namespace: "shop", Name: "route"}
	now.Routes = now.Routes.With(ref, &mesh.Route{Origin: ref, Mesh: true, Hosts: []mesh.Host{host}, HTTP: []mesh.HTTPRule{
		{Matches: []mesh.HTTPMatch{{}}, Timeout: &wait, Backends: []mesh.Backend{{Weight: 90}, {Weight: 10}}}, {Fault: &mesh.Fault{}, Mirrors: []mesh.Mirror{{}}},
	}})
	rule := mesh.Ref{Kind: "DestinationRule", Namespace: "shop", Name: "all"}
	now.Traffic = now.Traffic.With("*.shop.svc.cluster.local", []*mesh.Traffic{{Origin: rule, Host: "*.shop.svc.cluster.local", Policy: mesh.TrafficPolicy{Outlier: &mesh.OutlierDetection{}}}})
	got := badges(now, func(_ mesh.WorkloadID, w *mesh.Workload) bool { return w.Name == "checkout-v1" })
	kinds := func(node string) (all string) {
		for _, b := range got[node] {
			all += b.Kind + "=" + strings.Join(b.Objects, "+") + " "
		}
		return all
	}
	vs, dr := "=VirtualService/shop/route ", "=DestinationRule/shop/all "
	want := "circuitBreaker" + dr + "faultInjection" + vs + "mirroring" + vs + "requestTimeout" + vs + "trafficShifting" + vs + "requestRouting" + vs + "virtualService" + vs
	for node, want := range map[string]string{"service:shop/checkout": want, "workload:shop/checkout-v1": want, "app:shop/checkout-v1": want, "workload:shop/quiet-v1": "missingSidecar= circuitBreaker" + dr} {
		if kinds(node) != want {
			t.Errorf("%s has %s, want %s", node, kinds(node), want)
		}
	}
}
