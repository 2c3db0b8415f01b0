package main

import (
	"sync"

	"github.com/heddle-mesh/heddle/control/health"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

// observer carries what happens on the streams back: connects to workload health, rejections to status.
type observer struct {
	board  *health.Board
	reject func(resource *xds.Resource, proxy, text string)
	ack    func(resources []*xds.Resource)

	mu      sync.Mutex
	streams map[*mesh.Proxy]func()
}

func newObserver(b *health.Board) *observer {
	return &observer{board: b, streams: map[*mesh.Proxy]func(){}}
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
}

// Acked clears a rejection.
func (o *observer) Acked(_ *mesh.Proxy, _ mesh.Revision, resources []*xds.Resource) {
	if o.ack != nil {
		o.ack(resources)
	}
}

// Rejected tells status which objects a proxy could not use.
func (o *observer) Rejected(p *mesh.Proxy, r *xds.Resource, text string) {
	if o.reject != nil {
		o.reject(r, p.ID, text)
	}
}
