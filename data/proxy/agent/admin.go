package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/heddle-mesh/heddle/data/proxy/kubelet"
)

// admin serves Envoy's admin interface on a socket, and readiness and metrics on ports, in the agent's own process: they answer while Envoy is restarted, too.
type admin struct {
	pages
	transport *http.Transport
}

// pages are HTTP servers, each on a socket or a port.
type pages struct {
	servers   []*http.Server
	listeners []net.Listener
}

func openAdmin(a *agent) (*admin, error) {
	s := &admin{transport: a.envoy.transport()}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "envoy"})
			r.Out.Host = "envoy"
		},
		Transport: s.transport, FlushInterval: -1, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "Envoy does not answer: "+err.Error(), http.StatusServiceUnavailable)
		},
	}
	ready := func(w http.ResponseWriter, r *http.Request) {
		if err := a.envoy.ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "LIVE") // the reader is gone otherwise
	}
	all := http.NewServeMux()
	all.HandleFunc("GET /ready", ready)
	all.HandleFunc("POST /quitquitquit", func(w http.ResponseWriter, _ *http.Request) { // else Envoy would be started again
		_, _ = fmt.Fprintln(w, "OK") // the reader is gone otherwise
		a.quit()
	})
	numbers := a.metrics.page(s.transport)
	all.Handle("GET /stats/prometheus", numbers)
	all.HandleFunc("GET /stats", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("format") == "prometheus" {
			numbers(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	})
	all.Handle("/", proxy)
	status := http.NewServeMux()
	status.HandleFunc("GET /healthz/ready", ready)
	status.Handle("GET /stats/prometheus", numbers)
	errs := []error{s.unix(a.o.AdminSocket, all)}
	for _, address := range a.o.Status {
		errs = append(errs, s.tcp("status-address", address, kubelet.Status(a.o.probes, a.quit, status)))
	}
	if err := errors.Join(errs...); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *pages) unix(path string, h http.Handler) error {
	if path == "" {
		return nil
	}
	l, err := listenUnix(path)
	if err != nil {
		return err
	}
	s.add(l, h)
	return nil
}

func (s *pages) tcp(flag, address string, h http.Handler) error {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), "tcp", address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w; choose another with --%s", address, err, flag)
	}
	s.add(l, h)
	return nil
}

func (s *pages) add(l net.Listener, h http.Handler) {
	s.listeners = append(s.listeners, l)
	s.servers = append(s.servers, &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second})
}

func (s *pages) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for i, server := range s.servers {
		group.Go(func() error {
			if err := server.Serve(s.listeners[i]); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve pages on %s: %w", s.listeners[i].Addr(), err)
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			return server.Close()
		})
	}
	return group.Wait()
}

func (s *admin) close() {
	s.pages.close()
	s.transport.CloseIdleConnections()
}

func (s *pages) close() {
	for i, l := range s.listeners {
		_ = s.servers[i].Close()
		_ = l.Close() // the server has closed it if it ran
	}
}
