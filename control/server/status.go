package server

import (
	"context"
	"time"

	"github.com/heddle-mesh/heddle/control/config/kube"
	"github.com/heddle-mesh/heddle/control/inject"
)

// tellEvery is how often what is found out after translation is looked at: rejections by proxies, and what the compiler leaves out for some.
const tellEvery = time.Second

func (d *Server) tellLate(ctx context.Context) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			d.status.Extra("proxies", d.rejected.Problems(d.store))
			d.status.Extra("compiler", d.memo.Notices())
		}
	}
}

// writeStatus writes conditions into the objects; of several replicas only the leader does.
func (d *Server) writeStatus(ctx context.Context) error {
	source, ok := d.source.(*kube.Source)
	if !ok {
		return nil
	}
	if !d.opts.LeaderElection {
		return d.status.Run(ctx, source)
	}
	return d.client.Lead(ctx, d.opts.Namespace, d.log.With("part", "status"), func(ctx context.Context) {
		go d.deployGateways(ctx)
		if d.opts.InjectWebhook != "" {
			go d.client.Bury(ctx, d.opts.Namespace, inject.ProxyContainer, d.log.With("part", "injection"))
		}
		_ = d.status.Run(ctx, source)
	})
}
