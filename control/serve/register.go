package serve

import (
	"context"

	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds/session"
)

// register gives a proxy's workload its object, if it needs one.
func (s *Server) register(ctx context.Context, p *mesh.Proxy, proven bool) (Registration, error) {
	if s.opts.Registrar == nil {
		return nil, nil
	}
	return s.opts.Registrar.Register(ctx, p, proven)
}

// probed takes what a proxy found out about its workload.
func (c *conn) probed(r session.Request) {
	if c.entry == nil {
		c.server.log.Info("a proxy tells the health of a workload that has no WorkloadEntry whose health is checked, so it has no effect", "proxy", c.proxy.ID)
		return
	}
	c.entry.Probed(!r.Rejected, r.Error)
}
