// Package query answers PromQL by Prometheus' HTTP API, with Prometheus' own engine and handlers, so that what reads Prometheus (Flagger, KEDA, Grafana) reads this.
//
// In: a store, the scraper's targets. Out: an http.Handler. It only reads: neither the administration of the store nor writing is served.
package query

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/grafana/regexp" // the API's own type
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/util/features"
	"github.com/prometheus/prometheus/util/notifications"
	v1 "github.com/prometheus/prometheus/web/api/v1"

	"github.com/heddle-mesh/heddle/platform/observe/store"
)

// Options of New.
type Options struct {
	Store     *store.Store
	Targets   Targets
	Config    func() *config.Config // that is in effect
	Applied   func() time.Time      // when it was
	Limits    Limits
	Flags     map[string]string // as /api/v1/status/flags tells them
	Address   string            // that this is served on, for the URLs of targets on loopback
	Version   string
	Retention time.Duration
	Log       *slog.Logger
	Registry  *prometheus.Registry
}

// Targets is what is scraped.
type Targets interface {
	v1.TargetRetriever
	v1.ScrapePoolsRetriever
}

// Limits bound what queries may cost.
type Limits struct {
	Timeout    time.Duration // of a query
	Samples    int           // that a query may hold in memory
	Concurrent int           // queries at a time; more wait
	Lookback   time.Duration // for which a sample counts as the latest
}

// remoteRead bounds what /api/v1/read may cost.
const (
	remoteReadSamples    = 5_000_000
	remoteReadConcurrent = 4
	remoteReadFrame      = 1 << 20
)

// Handler serves the API.
type Handler struct {
	mux     *http.ServeMux
	engine  *promql.Engine
	tracker *promql.ActiveQueryTracker
	o       Options
	started time.Time
	ready   atomic.Bool
}

// New makes the handler. It answers 503 until Ready is called.
func New(o Options) (*Handler, error) {
	tracker, err := promql.NewActiveQueryTracker(o.Store.Dir(), o.Limits.Concurrent, o.Log.With("part", "queries"))
	if err != nil {
		return nil, fmt.Errorf("prepare queries: %w", err)
	}
	h := &Handler{mux: http.NewServeMux(), o: o, tracker: tracker, started: time.Now()}
	language := parser.NewParser(parser.Options{})
	h.engine = promql.NewEngine(promql.EngineOpts{
		Logger: o.Log.With("part", "engine"), Reg: o.Registry, MaxSamples: o.Limits.Samples, Timeout: o.Limits.Timeout, ActiveQueryTracker: tracker,
		LookbackDelta: o.Limits.Lookback, EnableAtModifier: true, EnableNegativeOffset: true, Parser: language,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Duration(o.Config().GlobalConfig.EvaluationInterval).Milliseconds() },
	})
	paths := route.New()
	h.api(language).Register(paths.WithPrefix("/api/v1"))
	h.mux.Handle("/api/v1/", paths)
	h.mux.Handle("GET /federate", h.whenReady(h.federate(language)))
	h.mux.Handle("GET /metrics", promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{}))
	healthy := func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "Heddle's metrics are healthy.") }
	h.mux.HandleFunc("GET /-/healthy", healthy)
	h.mux.HandleFunc("GET /-/ready", h.whenReady(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "Heddle's metrics are ready.") }))
	return h, nil
}

// Ready lets queries in.
func (h *Handler) Ready() { h.ready.Store(true) }

// ServeHTTP satisfies http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// Close ends the engine; queries that run are waited for.
func (h *Handler) Close() error { return h.engine.Close() }

func (h *Handler) whenReady(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !h.ready.Load() {
			http.Error(w, "the metrics are still being read", http.StatusServiceUnavailable)
			return
		}
		next(w, r)
	}
}

func (h *Handler) api(language parser.Parser) *v1.API {
	o := h.o
	return v1.NewAPI(h.engine, o.Store, nil, nil, o.Store,
		func(context.Context) v1.ScrapePoolsRetriever { return o.Targets },
		func(context.Context) v1.TargetRetriever { return o.Targets },
		func(context.Context) v1.AlertmanagerRetriever { return none{} },
		func() config.Config { return *o.Config() },
		o.Flags,
		v1.GlobalURLOptions{ListenAddress: o.Address, Host: o.Address, Scheme: "http"},
		h.whenReady,
		admin{o.Store}, o.Store.Dir(), false,
		false, 0,
		o.Log.With("part", "api"),
		func(context.Context) v1.RulesRetriever { return none{} },
		remoteReadSamples, remoteReadConcurrent, remoteReadFrame,
		false,
		regexp.MustCompile(`$^`), // no page of another origin reads this
		h.runtime,
		&v1.PrometheusVersion{Version: library(), Revision: "heddle " + o.Version, GoVersion: runtime.Version()},
		func() []notifications.Notification { return nil },
		func() (<-chan notifications.Notification, func(), bool) { return nil, func() {}, false },
		o.Registry, o.Registry,
		nil,
		false, nil, // remote writing into this store
		false, false, false, // OTLP
		false,
		o.Limits.Lookback,
		false, false,
		nil,
		features.NewRegistry(),
		v1.OpenAPIOptions{ExternalURL: (&url.URL{Scheme: "http", Host: o.Address}).String(), Version: o.Version},
		language)
}

// runtime is /api/v1/status/runtimeinfo.
func (h *Handler) runtime() (v1.RuntimeInfo, error) {
	host, err := os.Hostname()
	if err != nil {
		return v1.RuntimeInfo{}, fmt.Errorf("read the name of this machine: %w", err)
	}
	return v1.RuntimeInfo{
		StartTime: h.started, CWD: h.o.Store.Dir(), Hostname: host, ServerTime: time.Now().UTC(), ReloadConfigSuccess: true, LastConfigTime: h.o.Applied(),
		GoroutineCount: runtime.NumGoroutine(), GOMAXPROCS: runtime.GOMAXPROCS(0), GOMEMLIMIT: debug.SetMemoryLimit(-1), StorageRetention: h.o.Retention.String(),
	}, nil
}

// none has neither rules nor alertmanagers.
type none struct{}

// RuleGroups satisfies v1.RulesRetriever.
func (none) RuleGroups() []*rules.Group { return nil }

// AlertingRules satisfies v1.RulesRetriever.
func (none) AlertingRules() []*rules.AlertingRule { return nil }

// Alertmanagers satisfies v1.AlertmanagerRetriever.
func (none) Alertmanagers() []*url.URL { return nil }

// DroppedAlertmanagers satisfies v1.AlertmanagerRetriever.
func (none) DroppedAlertmanagers() []*url.URL { return nil }

// library is the version of Prometheus whose code this is, for clients that look at it before they ask.
func library() string {
	const path = "github.com/prometheus/prometheus"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return version(m.Version)
			}
		}
	}
	return version("")
}
