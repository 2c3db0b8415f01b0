package server

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/heddle-mesh/heddle/control/config/kube"
	"github.com/heddle-mesh/heddle/control/register"
	"github.com/heddle-mesh/heddle/control/serve"
	"github.com/heddle-mesh/heddle/control/translate/istio"
	"github.com/heddle-mesh/heddle/mesh"
)

// openRegistrar makes what keeps the entries of workloads outside of Kubernetes: in the API that has the groups, or in memory beside a folder.
func (d *Server) openRegistrar() {
	o := register.Options{Objects: d.store, Accepted: d.accepted, Sound: istio.SoundGroup, Grace: d.opts.EntryGrace, Metrics: register.NewMetrics(d.metrics), Log: d.log.With("part", "registration")}
	host, _ := os.Hostname()
	o.Instance = host + "-" + strings.ToLower(rand.Text()[:6]) // another one after each start: streams do not outlive it
	if d.apis.config == nil {
		o.Entries, o.Collect = register.NewMemory(d.store), true
	} else {
		o.Entries = kube.Entries{Source: d.apis.sources[0]}
	}
	d.registrar = register.New(o)
}

// registrar says in gRPC's words why a proxy is not registered.
type registrar struct{ *register.Registrar }

// Register implements serve.Registrar.
func (r registrar) Register(ctx context.Context, p *mesh.Proxy, proven bool) (serve.Registration, error) {
	g, err := r.Registrar.Register(ctx, p, proven)
	var refusal register.Refusal
	switch {
	case errors.As(err, &refusal):
		return nil, status.Errorf(codes.FailedPrecondition, "node %q: %v", p.ID, err)
	case err != nil:
		return nil, status.Errorf(codes.Unavailable, "node %q: register its workload: %v", p.ID, err)
	case g == nil:
		return nil, nil
	}
	return g, nil
}
