package server

import (
	"sync"

	"github.com/heddle-mesh/heddle/control/health"
	"github.com/heddle-mesh/heddle/control/status"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

// observer carries what happens on the streams back: connects to workload health, rejections to status.
type observer struct {
	board    *health.Board
	rejected *status.Rejections

	mu      sync.Mutex
	streams map[*mesh.Proxy]func()
}

func newObserver(b *health.Board, r *status.Rejections) *observer {
	return &observer{board: b, rejected: r, streams: map[*mesh.Proxy]func(){}}
}

// Connected makes the proxy's workload healthy.
func (o *observer) Connected(p *mesh.Proxy) {
	gone := o.board.Connected(health.Workload{Namespace: string(p.Namespace), Name: p.Name})
	o.mu.Lock()
	defer o.mu.Unlock()
	o.streams[p] = gone
}

// Disconnected makes it unhealthy, unless it comes back at once.
func (o *observer) Disconnected(p *mesh.Proxy) {
	o.mu.Lock()
	gone := o.streams[p]
	delete(o.streams, p)
	o.mu.Unlock()
	if gone != nil {
		gone()
	}
	o.rejected.Gone(p.ID)
}

// Acked takes a rejection back.
func (o *observer) Acked(p *mesh.Proxy, _ mesh.Revision, resources []*xds.Resource) {
	o.rejected.Acked(p.ID, resources)
}

// Rejected tells status which objects a proxy could not use.
func (o *observer) Rejected(p *mesh.Proxy, r *xds.Resource, text string) {
	o.rejected.Rejected(p.ID, r, text)
}
