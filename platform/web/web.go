// Package web is the dashboard: the pages about one mesh, and the answers that they are drawn from, as one http.Handler.
//
// In: what heddled knows (Mesh), a Prometheus (graph.Source) and the built page (package ui). Out: HTML and JSON to whoever is logged in. It only reads. Every answer forbids
// scripts and styles but the page's own files, frames and guessed content types; nothing is fetched from elsewhere.
package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"net/http"
	"time"

	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/platform/observe/graph"
)

// Mesh is what the pages read of a control plane.
type Mesh interface {
	Current() *mesh.Snapshot // nil before the first
	Objects() iter.Seq[*config.Entry]
	Problems() []mesh.Problem
	Proxies() []string // those that are connected, as NAME.NAMESPACE
}

// Options of New.
type Options struct {
	Mesh    Mesh
	Metrics graph.Source // nil is none
	Page    fs.FS        // nil is a program that was built without the page
	Token   string       // who shows it may log in
	Address string       // where the handler is served, HOST:PORT: loopback addresses are for browsers of this machine only
	Version string
	Log     *slog.Logger
	Now     func() time.Time // nil is the clock
}

// site is the handler.
type site struct {
	Options
	keys  keys
	local bool
	busy  chan struct{} // one for each graph that is made
}

// graphsAtOnce bounds the work that browsers make for the metrics.
const graphsAtOnce = 3

// New makes the handler.
func New(o Options) (http.Handler, error) {
	if o.Token == "" {
		return nil, errors.New("the dashboard needs a token")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	local, err := loopbackAddress(o.Address)
	if err != nil {
		return nil, err
	}
	s := &site{Options: o, keys: keys{secret: o.Token, now: o.Now}, local: local, busy: make(chan struct{}, graphsAtOnce)}
	pages, err := newPages(o.Page)
	if err != nil {
		return nil, err
	}
	api := http.NewServeMux()
	api.HandleFunc("GET /api/status", s.status)
	api.HandleFunc("GET /api/graph", s.graph)
	api.HandleFunc("GET /api/badges", s.badges)
	api.HandleFunc("GET /api/series", s.series)
	api.HandleFunc("GET /api/services", s.services)
	api.HandleFunc("GET /api/workloads", s.workloads)
	api.HandleFunc("GET /api/objects", s.objects)
	api.HandleFunc("POST /api/link", s.link)
	api.HandleFunc("POST /api/logout", s.logout)
	mux := http.NewServeMux()
	mux.Handle("/api/", s.loggedIn(api))
	mux.HandleFunc("POST /api/login", s.login)
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			fail(rw, http.StatusMethodNotAllowed, "pages are read with GET")
		case r.URL.Path != "/" || !s.redeem(rw, r):
			pages.ServeHTTP(rw, r)
		}
	})
	return s.guarded(compressed(mux)), nil
}

// fault is an answer that is an error: one sentence for people.
type fault struct {
	Error string `json:"error"`
}

func fail(rw http.ResponseWriter, code int, format string, args ...any) {
	answer(rw, code, fault{fmt.Sprintf(format, args...)})
}

func answer(rw http.ResponseWriter, code int, v any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(code)
	_ = json.NewEncoder(rw).Encode(v)
}
