package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"

	"github.com/heddle-mesh/heddle/platform/observe/graph"
)

// Listen opens the dashboard's port.
func Listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("flag --dashboard-address: %w", err)
	}
	return l, nil
}

// Serve answers on a listener until ctx ends.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	stopped := context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(end) != nil {
			_ = server.Close()
		}
	})
	defer stopped()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the dashboard on %s: %w", l.Addr(), err)
	}
	return nil
}

// Prometheus is the one at a URL; tokenFile, if it is not "", has the bearer token that it wants, and is read with each request.
func Prometheus(address, tokenFile string) (graph.Source, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("--metrics-url %q is not a URL such as http://127.0.0.1:9090", address)
	}
	c, err := api.NewClient(api.Config{Address: address, RoundTripper: bounded{tokenFile}})
	if err != nil {
		return nil, fmt.Errorf("--metrics-url %q: %w", address, err)
	}
	return promv1.NewAPI(c), nil
}

// maxAnswer bounds what is read of one answer: those of 5,000 edges are some megabytes.
const maxAnswer = 128 << 20

// bounded shows a token, and cuts off answers that are too large.
type bounded struct{ tokenFile string }

// RoundTrip satisfies http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.tokenFile != "" {
		token, err := os.ReadFile(b.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("read the token of the metrics: %w", err)
		}
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		resp.Body = &limited{resp.Body, maxAnswer}
	}
	return resp, err
}

type limited struct {
	io.ReadCloser
	left int64
}

// Read fails where a bounded answer ends.
func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("the answer of the metrics is larger than %d MiB; ask for fewer namespaces", maxAnswer>>20)
	}
	n, err := l.ReadCloser.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}
