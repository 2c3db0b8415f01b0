// Package admin serves Envoy's admin pages over the proxy's state, and the ports for probes and metrics.
//
// In: views of the configuration, the counters and the sockets. Out: HTTP handlers. Pages only read, but for POST /quitquitquit, /drain_listeners and /logging. All
// handlers are safe for concurrent use.
package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/config/live"
	"github.com/heddle-mesh/heddle/data/proxy/secret"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// Socket is a listening socket.
type Socket struct{ Name, Address string }

// Host is what the load balancer knows of an endpoint.
type Host struct {
	Ejected                                     bool // by outlier detection
	FailedActive, ActiveTimeout, DegradedActive bool // by active health checks
	PendingActive, Excluded                     bool // it does not count, because it was never checked, or asked for that
	ConnectionsActive, ConnectionsTotal         uint64
	RequestsActive, RequestsTotal, RequestsFail uint64
}

// Options are the views that the pages show. Functions may be nil where the proxy has no such part.
type Options struct {
	Version     string
	Concurrency uint32
	Node        *corev3.Node
	Bootstrap   Packed // a Bootstrap, nil without a file
	Live        *live.Live
	Stats       *stats.Registry
	Level       *slog.LevelVar
	// Ready says whether traffic can be served; Waiting is what for, when it cannot.
	Ready    func() bool
	Waiting  func() []string
	Draining func() bool
	Sockets  func() []Socket
	Host     func(c *config.Cluster, e *config.Endpoint) Host
	Identity func() *secret.SVID
	// Certificates are those in use; the workload's own are shown by Identity.
	Certificates func() []secret.Held
	// Drain closes listeners (only the inbound ones, if asked); graceful lets connections finish first.
	Drain func(inboundOnly, graceful bool)
	Quit  func()
}

// Server is the pages.
type Server struct {
	Options
	start time.Time
	mux   *http.ServeMux
	help  []string
}

// New makes the pages.
func New(o Options) *Server {
	s := &Server{Options: o, start: time.Now(), mux: http.NewServeMux()}
	s.page("GET /ready", "readiness: LIVE, INITIALIZING or DRAINING", s.ready)
	s.page("GET /server_info", "version, state and node", s.serverInfo)
	s.page("GET /config_dump", "configuration as received (?resource=..., ?mask is not supported)", s.configDump)
	s.page("GET /clusters", "upstreams and their endpoints (?format=json)", s.clusters)
	s.page("GET /listeners", "listening sockets (?format=json)", s.listeners)
	s.page("GET /stats", "statistics (?format=prometheus, ?filter=REGEX, ?usedonly)", s.stats)
	s.page("GET /stats/prometheus", "metrics in Prometheus' text format", s.prometheus)
	s.page("GET /certs", "certificates in use", s.certs)
	s.page("GET /logging", "the log level", s.logging)
	s.page("POST /logging", "change the log level (?level=debug|info|warning|error)", s.logging)
	s.page("POST /drain_listeners", "close listeners (?inboundonly, ?graceful)", s.drain)
	s.page("POST /quitquitquit", "drain and end", s.quit)
	s.page("GET /help", "this list", s.helpPage)
	s.mux.HandleFunc("GET /{$}", s.helpPage)
	return s
}

func (s *Server) page(pattern, help string, f http.HandlerFunc) {
	method, path, _ := strings.Cut(pattern, " ")
	line := "  " + path + ": " + help
	if method == http.MethodPost {
		line += " (POST)"
	}
	s.help = append(s.help, line)
	s.mux.HandleFunc(pattern, f)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A web page that a user of this machine looks at must not reach the pages: its requests name their origin.
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		http.Error(w, "requests of web pages are not served here", http.StatusForbidden)
		return
	}
	w.Header().Set("Cache-Control", "no-cache, max-age=0")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	s.mux.ServeHTTP(w, r)
}

func text(w http.ResponseWriter, format string, args ...any) {
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	_, _ = fmt.Fprintf(w, format, args...) // the reader is gone otherwise
}

func message(w http.ResponseWriter, m proto.Message) { messageWith(w, m, false) }

// messageWith writes a message; zeros says whether values that are zero are written as well, as Envoy does on some pages.
func messageWith(w http.ResponseWriter, m proto.Message, zeros bool) {
	b, err := protojson.MarshalOptions{UseProtoNames: true, Multiline: true, Indent: " ", EmitDefaultValues: zeros}.Marshal(m)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n')) // the reader is gone otherwise
}

func (s *Server) helpPage(w http.ResponseWriter, _ *http.Request) {
	text(w, "admin commands are:\n%s\n", strings.Join(s.help, "\n"))
}

// state is Envoy's word and number.
func (s *Server) state() adminv3.ServerInfo_State {
	switch {
	case s.Draining != nil && s.Draining():
		return adminv3.ServerInfo_DRAINING
	case s.Ready():
		return adminv3.ServerInfo_LIVE
	}
	return adminv3.ServerInfo_INITIALIZING
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	state := s.state()
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	if state != adminv3.ServerInfo_LIVE {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = fmt.Fprintln(w, state) // the reader is gone otherwise
	if state == adminv3.ServerInfo_INITIALIZING && s.Waiting != nil {
		for _, line := range s.Waiting() {
			fmt.Fprintln(w, "waiting for "+line)
		}
	}
}

func (s *Server) serverInfo(w http.ResponseWriter, _ *http.Request) {
	up := durationpb.New(time.Since(s.start).Truncate(time.Second))
	messageWith(w, &adminv3.ServerInfo{
		Version: s.Version, State: s.state(), UptimeCurrentEpoch: up, UptimeAllEpochs: up, Node: s.Node, HotRestartVersion: "disabled",
		CommandLineOptions: &adminv3.CommandLineOptions{Concurrency: s.Concurrency, Mode: adminv3.CommandLineOptions_Serve},
	}, true)
}

func (s *Server) listeners(w http.ResponseWriter, r *http.Request) {
	sockets := s.Sockets()
	if r.FormValue("format") != "json" {
		for _, x := range sockets {
			text(w, "%s::%s\n", x.Name, x.Address)
		}
		return
	}
	out := &adminv3.Listeners{}
	for _, x := range sockets {
		out.ListenerStatuses = append(out.ListenerStatuses, &adminv3.ListenerStatus{Name: x.Name, LocalAddress: parseAddress(x.Address)})
	}
	message(w, out)
}

func (s *Server) stats(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("format") == "prometheus" {
		s.prometheus(w, r)
		return
	}
	var keep func(string) bool
	if f := r.FormValue("filter"); f != "" {
		re, err := regexp.Compile(f)
		if err != nil {
			http.Error(w, fmt.Sprintf("filter: %v", err), http.StatusBadRequest)
			return
		}
		keep = re.MatchString
	}
	_, used := r.URL.Query()["usedonly"]
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	_ = s.Stats.WriteText(w, keep, !used) // the reader is gone otherwise
}

func (s *Server) prometheus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_ = s.Stats.WritePrometheus(w)                                                                  // the reader is gone otherwise
	_, _ = fmt.Fprintf(w, "# TYPE go_goroutines gauge\ngo_goroutines %d\n", runtime.NumGoroutine()) // the name is that of Prometheus' collector for Go
}

func (s *Server) logging(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		if err := s.setLevel(r.FormValue("level")); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	text(w, "level: %s\n", strings.ToLower(s.Level.Level().String()))
}

func (s *Server) setLevel(name string) error {
	switch name { // Envoy's words
	case "trace":
		name = "debug"
	case "warning":
		name = "warn"
	case "critical", "off":
		name = "error"
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return fmt.Errorf("level: %q is not one of debug, info, warning and error", name)
	}
	s.Level.Set(l)
	return nil
}

func (s *Server) drain(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.Drain(q.Has("inboundonly"), q.Has("graceful"))
	text(w, "OK\n")
}

func (s *Server) quit(w http.ResponseWriter, _ *http.Request) {
	text(w, "OK\n")
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	s.Quit()
}

// StatusHandler serves what probes and scrapers ask for: /healthz/ready and /stats/prometheus.
func (s *Server) StatusHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz/ready", func(w http.ResponseWriter, _ *http.Request) {
		if s.state() != adminv3.ServerInfo_LIVE {
			http.Error(w, s.state().String(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "")
	})
	mux.HandleFunc("GET /stats/prometheus", s.prometheus)
	mux.HandleFunc("GET /metrics", s.prometheus)
	return mux
}

// problemJSON is for pages that have no message of Envoy's.
func problemJSON(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}
