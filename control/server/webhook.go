package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/heddle-mesh/heddle/control/admission"
	"github.com/heddle-mesh/heddle/control/config/kube"
	services "github.com/heddle-mesh/heddle/control/registry/kube"
	"github.com/heddle-mesh/heddle/control/serve"
	"github.com/heddle-mesh/heddle/control/snapshot"
	"github.com/heddle-mesh/heddle/control/translate"
	"github.com/heddle-mesh/heddle/mesh"
)

// webhook serves POST /validate and POST /inject over TLS and keeps the Kubernetes API told of it.
type webhook struct {
	d        *Server
	server   *http.Server
	listener net.Listener
}

func newWebhook(d *Server) (*webhook, error) {
	h := &admission.Handler{Log: d.log.With("part", "admission"), World: func() translate.Lookup {
		s := d.publisher.Current()
		if s == nil { // not ready yet: what an object refers to is not judged, only the object
			s = mesh.NewSnapshot(d.meshSettings)
		}
		return snapshot.Answers{Snapshot: s, Store: d.store}
	}}
	injector, err := d.injector()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /validate", h)
	mux.HandleFunc("POST /validate"+kube.Elsewhere, h.Elsewhere)
	mux.Handle("POST /inject", injector)
	mux.Handle("POST /inject/", injector)
	// An API server waits up to 30 s; whoever is slow because the machine is busy is not cut off before.
	return &webhook{d: d, server: &http.Server{Handler: mux, ReadHeaderTimeout: 30 * time.Second, ReadTimeout: 30 * time.Second,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: d.certificate().get},
		ErrorLog:  slog.NewLogLogger(d.log.With("part", "admission").Handler(), slog.LevelDebug)}}, nil
}

func (w *webhook) listen() (err error) {
	w.listener, err = serve.Listen("webhook-address", w.d.opts.WebhookAddress)
	return err
}

// url is where the API reaches the webhook: on this machine unless a flag says otherwise.
func (w *webhook) url() string {
	if w.d.opts.WebhookURL != "" {
		return w.d.opts.WebhookURL
	}
	host, port, _ := net.SplitHostPort(w.listener.Addr().String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "https://" + net.JoinHostPort(host, port) + "/validate"
}

func (w *webhook) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := w.server.ServeTLS(w.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the webhook on %s: %w", w.listener.Addr(), err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if w.server.Shutdown(end) != nil {
			_ = w.server.Close()
		}
		return nil
	})
	for _, s := range w.d.apis.sources {
		group.Go(func() error {
			return s.Client().Register(ctx, w.registration(s.Client()), w.d.log.With("part", "admission"))
		})
	}
	return group.Wait()
}

// registration is what an API is told. What owns it must be in the same API.
func (w *webhook) registration(at *kube.Client) kube.Webhook {
	hook := kube.Webhook{Name: cmp.Or(w.d.opts.WebhookName, "heddled-"+w.d.opts.Namespace), URL: w.url(), CA: w.d.authority.Roots(), Asks: services.Wishes()}
	if at == w.d.apis.cluster {
		hook.Owners = w.d.owners
	}
	return hook
}
