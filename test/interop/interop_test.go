// Package interop_test runs one set of fixtures at three levels: what their objects compile to (TestCompiled, without any process), and two data planes,
// heddle-proxy and stock Envoy, both fed by heddled (TestFixtures). The two must answer alike.
//
// That an unmodified gRPC client (xds:///) finds and calls a service is tested in control/compile (TestGRPCClientCallsService).
package interop_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

var planes = []string{"heddle-proxy", "envoy"}

// outcome is what came of an exchange, in a form that two data planes can be compared by.
type outcome struct {
	Status    int
	Statuses  []string `json:",omitempty"`
	Header    map[string]string
	Body      string
	Endpoints []string
	Upstream  []string // what the upstream saw, with the differences that are allowed taken out
	Flag      string
}

// differs are response and request headers that may differ between the data planes, each with its reason.
var differs = map[string]string{
	"date":                          "the clock",
	"x-envoy-upstream-service-time": "milliseconds",
	"x-request-id":                  "random",
	"traceparent":                   "random",
	"tracestate":                    "stock Envoy sends an empty one where there was none",
	"x-b3-traceid":                  "random",
	"x-b3-spanid":                   "random",
	"x-b3-parentspanid":             "random",
	"x-b3-sampled":                  "compared by its own test",
	"x-envoy-attempt-count":         "compared by its own fixture",
	"x-envoy-peer-metadata":         "stock Envoy introduces itself to servers that it asks about requests, too; and a patch may take away the filter that removes it",
	"x-envoy-peer-metadata-id":      "the same",
	"x-echo-key":                    "unique for each data plane",
}

// hash is the digest of a client's certificate in x-forwarded-client-cert, or the certificate itself: every world has certificates of its own.
var hash = regexp.MustCompile(`(Hash=)[0-9a-f]+|((?:Cert|Chain)=)"[^"]*"`)

// made is the value of a cookie that a data plane makes of the connection's addresses.
var made = regexp.MustCompile(`"[0-9a-f]{16}"`)

// run is one fixture in a world.
type run struct {
	*world
	t    *testing.T
	f    *fixture
	held held
}

// held are connections that stay open to the end of a fixture, by name.
type held struct {
	transports map[string]*http.Transport
	conns      map[string]net.Conn
}

func (h held) close() {
	for _, t := range h.transports {
		t.CloseIdleConnections()
	}
	for _, c := range h.conns {
		c.Close()
	}
}

func fixtures(t *testing.T) (all []fixture) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("no fixtures")
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		must(t, err)
		all = append(all, parse(t, strings.TrimSuffix(filepath.Base(file), ".txtar"), data))
	}
	return all
}

// TestFixtures runs every fixture on each data plane, both at the same time, and demands the same of both.
func TestFixtures(t *testing.T) {
	all := fixtures(t)
	var mu sync.Mutex
	results := map[string]map[string][]outcome{} // by plane and fixture
	t.Run("planes", func(t *testing.T) {
		for _, plane := range planes {
			results[plane] = map[string][]outcome{}
			t.Run(plane, func(t *testing.T) {
				t.Parallel()
				worlds := map[string]*world{} // by mesh config
				for i := range all {
					f := &all[i]
					if worlds[f.meshConfig] == nil {
						worlds[f.meshConfig] = newWorld(t, plane, f.meshConfig)
					}
					t.Run(f.name, func(t *testing.T) {
						r := &run{world: worlds[f.meshConfig], t: t, f: f, held: held{map[string]*http.Transport{}, map[string]net.Conn{}}}
						defer r.held.close()
						out := r.all()
						mu.Lock()
						defer mu.Unlock()
						results[plane][f.name] = out
					})
				}
			})
		}
	})
	for i := range all {
		ours, theirs := results["heddle-proxy"][all[i].name], results["envoy"][all[i].name]
		if len(ours) == 0 || len(theirs) == 0 {
			continue // skipped, or failed already
		}
		t.Run("same/"+all[i].name, func(t *testing.T) { compare(t, &all[i], ours, theirs) })
	}
}

func (r *run) all() (out []outcome) {
	r.t.Helper()
	since := r.marks()
	r.t.Cleanup(func() {
		if r.t.Failed() {
			r.show(r.t, since)
		}
	})
	for _, s := range r.f.steps {
		r.load(r.t, s.mesh)
		for i := range s.exchanges {
			if x := &s.exchanges[i]; x.plane == "" || x.plane == r.plane {
				out = append(out, r.exchange(x))
			} else {
				out = append(out, outcome{})
			}
		}
	}
	return out
}

// compare demands the same answers of both data planes.
func compare(t *testing.T, f *fixture, ours, theirs []outcome) {
	t.Helper()
	exchanges := f.exchanges()
	for i := range ours {
		if exchanges[i].plane != "" {
			continue
		}
		a, b := show(ours[i]), show(theirs[i])
		if a != b {
			t.Errorf("%s, %s: heddle-proxy gave\n%s\nEnvoy gave\n%s", f.name, &exchanges[i], a, b)
		}
	}
}

func show(o outcome) string {
	b, err := json.MarshalIndent(o, "  ", "  ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func outcomeOf(resp *http.Response, body string) outcome {
	seen := sawOf(body)
	o := outcome{Status: resp.StatusCode, Header: map[string]string{}, Body: body}
	for k, v := range resp.Header {
		if k = strings.ToLower(k); differs[k] == "" && !(k == "content-length" && (seen != nil || resp.Request.Method == http.MethodHead)) {
			o.Header[k] = strings.Join(v, ", ")
			if k == "set-cookie" {
				o.Header[k] = made.ReplaceAllString(o.Header[k], `"…"`)
			}
		}
	}
	if seen == nil {
		return o
	}
	o.Body = ""
	o.Upstream = []string{seen.Method + " " + seen.Path + " " + seen.Host, seen.Body}
	for k, v := range seen.Headers {
		if k = strings.ToLower(k); differs[k] == "" {
			o.Upstream = append(o.Upstream, hash.ReplaceAllString(k+": "+strings.Join(v, ", "), "$1$2…"))
		}
	}
	slices.Sort(o.Upstream[2:])
	return o
}
