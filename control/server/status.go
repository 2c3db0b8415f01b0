package server

import (
	"context"
	"time"

	"github.com/heddle-mesh/heddle/control/inject"
	"github.com/heddle-mesh/heddle/control/status"
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
func (d *Server) writeStatus(ctx context.Context, to status.Writer) error {
	if !d.opts.LeaderElection {
		return d.status.Run(ctx, to)
	}
	return d.apis.cluster.Lead(ctx, d.opts.Namespace, d.log.With("part", "status"), func(ctx context.Context) {
		if d.apis.two() {
			go d.apis.config.EnsureNamespace(ctx, string(d.meshSettings.RootNamespace), d.log.With("part", "config"))
		}
		go d.deployGateways(ctx)
		if d.opts.InjectWebhook != "" {
			go d.apis.cluster.Bury(ctx, d.opts.Namespace, inject.ProxyContainer, d.log.With("part", "injection"))
		}
		_ = d.status.Run(ctx, to)
	})
}
