package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/heddle-mesh/heddle/control/serve"
	"github.com/heddle-mesh/heddle/control/token"
	"github.com/heddle-mesh/heddle/control/translate/condition"
)

// web is the HTTP port: /ready, /metrics and /version for everybody, /debug behind a bearer token.
type web struct {
	d        *Server
	token    string
	server   *http.Server
	listener net.Listener
}

func newWeb(d *Server) (*web, error) {
	secret, err := token.ReadOrCreate(d.opts.TokenFile)
	if err != nil {
		return nil, err
	}
	w := &web{d: d, token: secret}
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pilot_info", Help: "Version of the control plane."}, []string{"version"})
	info.WithLabelValues(d.opts.Version).Set(1)
	d.metrics.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", w.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /version", func(rw http.ResponseWriter, _ *http.Request) {
		writeJSON(rw, map[string]string{"version": d.opts.Version, "go": runtime.Version()})
	})
	mux.Handle("/debug/", w.authorized(w.debug()))
	w.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return w, nil
}

func (w *web) listen() (err error) {
	w.listener, err = serve.Listen("http-address", w.d.opts.HTTPAddress)
	return err
}

func (w *web) address() string { return w.listener.Addr().String() }

func (w *web) run(ctx context.Context) error {
	stopped := context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if w.server.Shutdown(end) != nil {
			_ = w.server.Close()
		}
	})
	defer stopped()
	if err := w.server.Serve(w.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", w.address(), err)
	}
	return nil
}

// ready is 200 when the first snapshot is published. An API that is away later changes nothing of that: what was last seen stays in effect.
func (w *web) ready(rw http.ResponseWriter, _ *http.Request) {
	if _, ok := w.d.serve.Revision(); !ok {
		text := "no snapshot has been published yet"
		if apis := w.d.apis.sources.Waiting(); apis != "" {
			text += ": waiting for " + apis
		}
		http.Error(rw, text, http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(rw, "ready")
}

// authorized lets only those in who show the token.
func (w *web) authorized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || !token.Equal(strings.TrimSpace(bearer), w.token) {
			rw.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(rw, "send the token of heddled's --token-file as: Authorization: Bearer TOKEN", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(rw, r)
	})
}

func (w *web) debug() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/status", w.status)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.Handle("/debug/", w.d.serve.Debug(w.token))
	return mux
}

// status lists everything that is wrong with what users wrote; in folder mode it is the only place that holds conditions.
func (w *web) status(rw http.ResponseWriter, _ *http.Request) {
	type problem struct {
		Object, Field, Code, Message, Hint string
	}
	var out struct {
		Revision uint64    `json:"revision"`
		Objects  int       `json:"objects"`
		Problems []problem `json:"problems"`
		// Conditions are the status of each object, by KIND/NAMESPACE/NAME.
		Conditions map[string]*condition.Status `json:"conditions"`
	}
	out.Problems = []problem{}
	if s := w.d.publisher.Current(); s != nil {
		out.Revision = uint64(s.Revision)
	}
	out.Objects = w.d.store.Len()
	for _, p := range w.d.Problems() {
		out.Problems = append(out.Problems, problem{p.Object.String(), p.Field, string(p.Code), p.Message, p.Hint})
	}
	out.Conditions = w.d.status.Conditions()
	writeJSON(rw, out)
}

func writeJSON(rw http.ResponseWriter, v any) {
	rw.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(rw)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v)
}
