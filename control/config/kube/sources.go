package kube

import (
	"context"
	"strings"
	"sync"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
)

// Sources are the sources of all APIs. Each kind is that of one of them.
type Sources []*Source

// Run follows every API until ctx ends. One that is away stops nothing of the others.
func (all Sources) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() { _ = s.Run(ctx) }) // it has no error: it never gives up
	}
	wg.Wait()
	return nil
}

// WriteStatus writes to the API that the object is of.
func (all Sources) WriteStatus(ctx context.Context, o api.Object, doc map[string]any) error {
	for _, s := range all {
		if s.client.Role.Reads(o.Kind) {
			return s.WriteStatus(ctx, o, doc)
		}
	}
	return config.ErrGone
}

// Waiting names the APIs of which not everything has been seen yet; "" when all have.
func (all Sources) Waiting() string {
	var names []string
	for _, s := range all {
		s.mu.Lock()
		if !s.synced {
			names = append(names, "the "+s.client.Role.String()+" at "+s.client.Host)
		}
		s.mu.Unlock()
	}
	return strings.Join(names, " and ")
}
