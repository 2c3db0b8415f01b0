// Package server is the composition root of heddle-proxy: it wires configuration, workers, identity, names and admin pages, runs them, and drains.
//
// In: Options. Out: a running proxy, and one clear error when it cannot run. New opens nothing but files; Run owns the proxy until its context ends.
package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/announce"
	"github.com/heddle-mesh/heddle/data/proxy/config/decode"
	"github.com/heddle-mesh/heddle/data/proxy/handover"
	"github.com/heddle-mesh/heddle/data/proxy/pool"
	"github.com/heddle-mesh/heddle/data/proxy/secret"
)

// Options say what a proxy is and where its parts are. Workload or Bootstrap must be set, or both.
type Options struct {
	Version string
	// Bootstrap is an Envoy bootstrap file's content.
	Bootstrap []byte
	// Workload is what the proxy stands for in the mesh; nil: everything comes from Bootstrap.
	Workload *announce.Workload
	XDS, CA  secret.Channel // of a Workload
	SVIDTTL  time.Duration  // 0 leaves it to the CA
	World    bool           // state-of-the-world xDS instead of delta

	Concurrency int   // workers
	MemoryLimit int64 // bytes; requests and connections are given up before it, unless Bootstrap has an overload manager. 0 for none
	// Accept is how long a proxy goes on accepting after SIGTERM in any case, for those who hear of its end by other means than the mesh, such as kube-proxy.
	Accept time.Duration
	Drain  time.Duration // the longest time between that and the end
	// Parent is the longest time that what has begun may go on once another process serves in the place of this one; connections that rest are closed after Drain.
	Parent time.Duration
	// Kept are the sockets that outlive this process; nil without a supervisor.
	Kept *handover.Client
	Mark int // SO_MARK of the proxy's own connections; 0 for none
	// Datagrams leads datagrams that the workload sends to services to the proxy; nil: none are captured.
	Datagrams pool.Table
	Outside   string // path of the relay's unix socket; "" dials directly
	Inside    []netip.Prefix

	Admin       string // HOST:PORT (loopback) instead of the bootstrap's; "" leaves it, or none
	AdminSocket string
	Status      []string // addresses of /healthz/ready and /stats/prometheus
	// Around puts around those pages what the proxy is asked besides (package kubelet); quit ends the proxy as SIGTERM would. Nil: nothing.
	Around     func(quit func(), pages http.Handler) http.Handler
	DNS        []string // addresses of the name server; none for no name server
	ResolvConf string

	// Probe asks the workload for its health until ctx ends; ready says whether the proxy itself is, and tell hears of changes. Nil asks nothing.
	Probe func(ctx context.Context, ready func(context.Context) error, tell func(healthy bool, message string))

	// Env reads the environment, for tags of spans; nil has none.
	Env func(name string) (value string, ok bool)

	Log   *slog.Logger
	Level *slog.LevelVar
}

// loopback refuses an admin address that other machines could reach.
func loopback(address string) error {
	if strings.HasPrefix(address, "/") || strings.HasPrefix(address, "@") {
		return nil
	}
	if ap, err := netip.ParseAddrPort(address); err == nil && ap.Addr().IsLoopback() {
		return nil
	}
	if strings.HasPrefix(address, "localhost:") {
		return nil
	}
	return fmt.Errorf("the admin address %s can be reached from other machines, and whoever reaches it may stop the proxy; use 127.0.0.1 or a unix socket", address)
}

// decoder reads configuration as this proxy can honour it.
func (s *Server) decoder() *decode.Decoder {
	return &decode.Decoder{OpenLog: s.logs.Open, Identity: s.opts.Workload != nil, Telemetry: s.opts.Workload != nil, Env: s.opts.Env}
}

// searchOf completes the search suffixes for the name server.
func searchOf(w *announce.Workload, fromFile []string) []string {
	if own := w.Namespace + "." + w.Services(); len(fromFile) == 0 || fromFile[0] != own {
		return append([]string{own}, fromFile...)
	}
	return fromFile
}

func absolute(path string) string {
	if p, err := filepath.Abs(path); err == nil {
		return p
	}
	return path
}
