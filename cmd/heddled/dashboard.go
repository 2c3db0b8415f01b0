package main

import (
	"context"

	"github.com/heddle-mesh/heddle/control/server"
	"github.com/heddle-mesh/heddle/platform/observe/graph"
	"github.com/heddle-mesh/heddle/platform/web"
	"github.com/heddle-mesh/heddle/ui"
)

// openDashboard opens the port of the dashboard; what it gives serves it. nil is none.
func openDashboard(d *server.Server, o options) (func(context.Context) error, error) {
	if o.dashboard == "" {
		return nil, nil
	}
	var metrics graph.Source
	if o.metricsURL != "" {
		var err error
		if metrics, err = web.Prometheus(o.metricsURL, o.metricsToken); err != nil {
			return nil, err
		}
	}
	handler, err := web.New(web.Options{Mesh: d, Metrics: metrics, Page: ui.Page(), Token: d.Token(), Address: o.dashboard, Version: version, Log: o.Log.With("part", "dashboard")})
	if err != nil {
		return nil, err
	}
	l, err := web.Listen(o.dashboard)
	if err != nil {
		return nil, err
	}
	o.Log.Info("the dashboard is open", "address", l.Addr().String(), "page", ui.Page() != nil)
	return func(ctx context.Context) error { return web.Serve(ctx, l, handler) }, nil
}
