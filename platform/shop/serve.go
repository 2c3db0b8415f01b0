package shop

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// answer is what a service says of itself and of those that it called.
type answer struct {
	Service string   `json:"service"`
	Version string   `json:"version"`
	Error   string   `json:"error,omitempty"`
	Calls   []answer `json:"calls,omitempty"`
}

// Serve runs a part until the context ends. Callee gives the address to dial for a service's name; nil dials the name itself on its port.
func Serve(ctx context.Context, p Part, l net.Listener, callee func(name string) string, log *slog.Logger) error {
	if p.TCP {
		return serveLines(ctx, l, log)
	}
	if callee == nil {
		callee = byName
	}
	h := &handler{part: p, callee: callee, client: &http.Client{Timeout: 10 * time.Second}}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = srv.Shutdown(grace)
	})
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", p.Name, err)
	}
	return nil
}

func byName(name string) string {
	for _, p := range Parts() {
		if p.Name == name {
			return fmt.Sprintf("%s:%d", name, p.Port)
		}
	}
	return name
}

type handler struct {
	part   Part
	callee func(string) string
	client *http.Client
}

// propagated are the headers that tie the hops of one request together.
var propagated = []string{"X-Request-Id", "Traceparent", "Tracestate", "X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Flags", "B3", "Baggage"}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := answer{Service: h.part.Name, Version: h.part.Version}
	if h.part.Delay > 0 {
		select {
		case <-time.After(h.part.Delay):
		case <-r.Context().Done():
			return
		}
	}
	code := http.StatusOK
	if h.part.FailEvery > 0 && rand.IntN(h.part.FailEvery) == 0 {
		code, a.Error = http.StatusServiceUnavailable, "out of order, on purpose"
	}
	calls := h.part.Calls
	if h.part.Name == "web" {
		if calls = routes[r.URL.Path]; calls == nil {
			code, a.Error = http.StatusNotFound, "the shop has /, /catalog, /cart and /checkout"
		}
	}
	for _, name := range calls {
		sub, err := h.call(r, name)
		if err != nil {
			code, sub.Error = http.StatusBadGateway, err.Error()
		}
		a.Calls = append(a.Calls, sub)
	}
	if h.part.Appends != "" && code == http.StatusOK {
		if err := h.appendLine(r.Context(), h.part.Appends, r.Header.Get("X-Request-Id")); err != nil {
			code, a.Error = http.StatusBadGateway, err.Error()
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(a)
}

func (h *handler) call(r *http.Request, name string) (a answer, err error) {
	a.Service = name
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://"+h.callee(name)+"/", nil)
	if err != nil {
		return a, err
	}
	for _, k := range propagated {
		if v := r.Header.Get(k); v != "" {
			req.Header.Set(k, v)
		}
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return a, err
	}
	if resp.StatusCode != http.StatusOK {
		return a, fmt.Errorf("%s answered %d: %.200s", name, resp.StatusCode, body)
	}
	return a, json.Unmarshal(body, &a)
}

// appendLine writes one line to a TCP service and waits for its answer.
func (h *handler) appendLine(ctx context.Context, name, line string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", h.callee(name))
	if err != nil {
		return err
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	c.SetDeadline(deadline)
	if _, err := fmt.Fprintf(c, "%s\n", line); err != nil {
		return fmt.Errorf("write to %s: %w", name, err)
	}
	if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
		return fmt.Errorf("read from %s: %w", name, err)
	}
	return nil
}

// serveLines answers each line with the number of lines so far.
func serveLines(ctx context.Context, l net.Listener, log *slog.Logger) error {
	var lines atomic.Int64
	var open sync.Map
	stop := context.AfterFunc(ctx, func() {
		l.Close()
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
	})
	defer stop()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("serve lines: %w", err)
		}
		open.Store(c, nil)
		go func() {
			defer open.Delete(c)
			defer c.Close()
			for r := bufio.NewScanner(c); r.Scan(); {
				if _, err := fmt.Fprintf(c, "line %d\n", lines.Add(1)); err != nil {
					log.Debug("a client left early", "error", err)
					return
				}
			}
		}()
	}
}
