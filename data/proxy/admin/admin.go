// Package admin serves Envoy's admin pages over the proxy's state, and the ports for probes and metrics.
//
// In: views of the configuration, the counters and the sockets. Out: HTTP handlers. Pages that change something take a POST, the others only read. All handlers are safe for
// concurrent use.
package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
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
	// Tap shows finished requests as they come, and Recent those that the proxy remembers.
	Tap, Recent http.HandlerFunc
	// Supervised says that a supervisor keeps the sockets, and Epoch which run of the proxy this is.
	Supervised bool
	Epoch      int
	// Ready says whether traffic can be served; Waiting is what for, when it cannot.
	Ready    func() bool
	Waiting  func() []string
	Draining func() bool
	// Succeeded says that another process serves in the place of this one, with the same sockets.
	Succeeded func() bool
	Sockets   func() []Socket
	Host      func(c *config.Cluster, e *config.Endpoint) Host
	Identity  func() *secret.SVID
	// Certificates are those in use; the workload's own are shown by Identity.
	Certificates func() []secret.Held
	// Drain closes listeners (only the inbound ones, if asked); graceful lets connections finish first, and with skipExit the listeners stay.
	Drain func(inboundOnly, graceful, skipExit bool)
	Quit  func()
}

// Server is the pages.
type Server struct {
	Options
	start time.Time
	mux   *http.ServeMux
	help  []string

	failed atomic.Bool // by /healthcheck/fail
}

// New makes the pages.
func New(o Options) *Server {
	s := &Server{Options: o, start: time.Now(), mux: http.NewServeMux()}
	s.page("/ready", "print server state, return 200 if LIVE, otherwise return 503", s.ready)
	s.page("/server_info", "print server version/status information", s.serverInfo)
	s.page("/config_dump", "configuration as received (resource, mask, name_regex, include_eds)", s.configDump)
	s.page("/clusters", "upstreams and their endpoints (format=json, filter)", s.clusters)
	s.page("/listeners", "listening sockets (format=json)", s.listeners)
	s.page("/stats", "statistics (format=text|json|prometheus, filter, usedonly, type)", s.stats)
	s.page("/stats/prometheus", "metrics in Prometheus' text format (filter, usedonly)", s.prometheus)
	s.page("/certs", "certificates in use", s.certs)
	if s.Tap != nil {
		s.page("/tap", "finished requests as they come, a line of JSON each (from, to, method, path, status, … each also as not.NAME, cel, sample, limit)", s.Tap)
	}
	if s.Recent != nil {
		s.page("/tap/recent", "the latest requests, without headers, a line of JSON each (the same conditions, request_id, trace_id, failed, limit)", s.Recent)
	}
	s.page("/init_dump", "what the first configuration waits for", s.initDump)
	s.page("/memory", "memory in use", s.memory)
	s.page("/runtime", "runtime values, of which there are none", s.runtime)
	s.page("/hot_restart_version", "version of the hand-over to a new process, or disabled", func(w http.ResponseWriter, _ *http.Request) { text(w, "%s\n", s.handover()) })
	s.page("/debug/pprof/profile", "where the CPU's time goes, for go tool pprof (seconds=30)", s.cpuProfile)
	s.page("/debug/pprof/{name}", "heap, allocs, goroutine or threadcreate, for go tool pprof (debug)", s.profile)
	s.action("/logging", "query/change the log level (level, paths, heddle)", s.logging)
	s.action("/drain_listeners", "close listeners (inboundonly, graceful, skip_exit)", s.drain)
	s.action("/healthcheck/fail", "say that the proxy is not ready", s.health(true))
	s.action("/healthcheck/ok", "take that back", s.health(false))
	s.action("/reset_counters", "set all counters to zero", s.resetCounters)
	s.action("/quitquitquit", "drain and end", s.quit)
	s.page("/help", "print out list of admin commands", s.helpPage)
	s.mux.HandleFunc("/{$}", s.helpPage)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "invalid path. "+s.commands(), http.StatusNotFound)
	})
	return s
}

// page is one that only shows; as Envoy's it takes any method.
func (s *Server) page(path, help string, f http.HandlerFunc) {
	s.help = append(s.help, "  "+path+": "+help)
	s.mux.HandleFunc(path, f)
}

// action is a page that changes something, which takes a POST.
func (s *Server) action(path, help string, f http.HandlerFunc) {
	s.help = append(s.help, "  "+path+" (POST): "+help)
	s.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "Method "+r.Method+" not allowed, POST required.", http.StatusMethodNotAllowed)
			return
		}
		f(w, r)
	})
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
	b, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: zeros}.Marshal(m)
	var out bytes.Buffer
	if err == nil { // protojson varies its blanks, which people and scripts look at
		err = json.Indent(&out, b, "", " ")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(out.Bytes(), '\n')) // the reader is gone otherwise
}

func (s *Server) helpPage(w http.ResponseWriter, _ *http.Request) {
	text(w, "%s\n", s.commands())
}

func (s *Server) commands() string { return "admin commands are:\n" + strings.Join(s.help, "\n") }

// state is Envoy's word and number.
func (s *Server) state() adminv3.ServerInfo_State {
	switch {
	case s.failed.Load() || s.Draining != nil && s.Draining():
		return adminv3.ServerInfo_DRAINING
	case s.Ready():
		return adminv3.ServerInfo_LIVE
	}
	return adminv3.ServerInfo_INITIALIZING
}

// place is how the proxy at this address is: who asks a process that another one has succeeded means that one, and it serves.
func (s *Server) place() adminv3.ServerInfo_State {
	if s.Succeeded != nil && s.Succeeded() {
		return adminv3.ServerInfo_LIVE
	}
	return s.state()
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	state := s.place()
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	if state != adminv3.ServerInfo_LIVE {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = fmt.Fprintln(w, state) // the reader is gone otherwise
	if state == adminv3.ServerInfo_INITIALIZING && s.Waiting != nil {
		for _, line := range s.Waiting() {
			_, _ = fmt.Fprintln(w, "waiting for "+line)
		}
	}
}

func (s *Server) serverInfo(w http.ResponseWriter, _ *http.Request) {
	up := durationpb.New(time.Since(s.start).Truncate(time.Second))
	messageWith(w, &adminv3.ServerInfo{
		Version: s.Version, State: s.state(), UptimeCurrentEpoch: up, UptimeAllEpochs: up, Node: s.Node, HotRestartVersion: s.handover(),
		CommandLineOptions: &adminv3.CommandLineOptions{Concurrency: s.Concurrency, DisableHotRestart: !s.Supervised, RestartEpoch: uint32(s.Epoch), LogLevel: s.Level.Level().String(), Mode: adminv3.CommandLineOptions_Serve},
	}, true)
}

// handover names the protocol between the proxy and its supervisor.
func (s *Server) handover() string {
	if s.Supervised {
		return "1"
	}
	return "disabled"
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

// StatusHandler serves what probes and scrapers ask for: /healthz/ready and /stats/prometheus.
func (s *Server) StatusHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz/ready", func(w http.ResponseWriter, _ *http.Request) {
		if state := s.place(); state != adminv3.ServerInfo_LIVE {
			http.Error(w, state.String(), http.StatusServiceUnavailable)
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
