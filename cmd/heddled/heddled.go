package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/heddle-mesh/heddle/control/ca"
	"github.com/heddle-mesh/heddle/control/compile"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/control/config/accepted"
	"github.com/heddle-mesh/heddle/control/config/file"
	"github.com/heddle-mesh/heddle/control/config/kube"
	"github.com/heddle-mesh/heddle/control/config/settings"
	"github.com/heddle-mesh/heddle/control/health"
	"github.com/heddle-mesh/heddle/control/registry"
	"github.com/heddle-mesh/heddle/control/registry/vip"
	"github.com/heddle-mesh/heddle/control/serve"
	"github.com/heddle-mesh/heddle/control/snapshot"
	"github.com/heddle-mesh/heddle/control/status"
	"github.com/heddle-mesh/heddle/control/token"
	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
)

// heddled has one field per subsystem, in the order in which data goes through them.
type heddled struct {
	opts         options
	log          *slog.Logger
	metrics      *prometheus.Registry
	client       *kube.Client // nil with a folder
	store        *config.Store
	source       interface{ Run(context.Context) error }
	addresses    *vip.Allocator
	accepted     *accepted.Versions
	board        *health.Board
	publisher    *snapshot.Publisher
	status       *status.Board
	rejected     *status.Rejections
	memo         *compile.Memo
	authority    *ca.Authority // nil without a CA folder
	auth         serve.Authenticator
	serve        *serve.Server
	told         []mesh.Problem // of the mesh config
	meshSettings *mesh.Settings
	endpoints    []serve.Endpoint
	web          *web
	webhook      *webhook // nil without an address
}

func build(o options, log *slog.Logger) (*heddled, error) {
	d := &heddled{opts: o, log: log, metrics: prometheus.NewRegistry()}
	var err error
	d.meshSettings, err = d.settings()
	if err != nil {
		return nil, err
	}
	if err := d.openSource(); err != nil {
		return nil, err
	}
	if err := d.openState(); err != nil {
		return nil, err
	}
	d.publisher = snapshot.NewPublisher(
		snapshot.NewBuilder(d.meshSettings, registry.Options{Cluster: mesh.ClusterID(o.clusterID), Network: mesh.NetworkID(o.network), TrustDomain: d.opts.domain,
			Health: d.board.State, Addresses: d.addresses}, d.store, d.accepted),
		d.store, d.board, snapshot.Timing{Quiet: o.quiet, Max: o.max}, log.With("part", "snapshot"))
	if o.caDir != "" {
		if d.authority, err = ca.Open(o.caDir, d.opts.domain); err != nil {
			return nil, err
		}
	}
	d.auth, err = d.authenticator()
	if err != nil {
		return nil, err
	}
	d.status, d.rejected = status.New(d.store, log.With("part", "status")), status.NewRejections()
	d.publisher.OnReport = func(reports []snapshot.Report) {
		for _, r := range reports {
			d.status.Tell(r.Ref, r.Problems, r.Status)
		}
	}
	d.memo = compile.New()
	d.serve = serve.New(serve.Options{Authenticator: d.auth, AllowAnonymous: o.allowAnonymous, TrustDomain: d.opts.domain,
		Observer: newObserver(d.board, d.rejected), Metrics: serve.NewMetrics(d.metrics), Log: log.With("part", "xds")})
	d.publisher.OnPublish = d.publish
	if d.web, err = newWeb(d); err != nil {
		return nil, err
	}
	return d, d.listen()
}

// settings reads the mesh config; flags count more than the file.
func (d *heddled) settings() (*mesh.Settings, error) {
	s := settings.Default()
	if d.opts.meshConfig != "" {
		var err error
		if s, d.told, err = settings.Read(d.opts.meshConfig); err != nil {
			return nil, err
		}
		for _, p := range d.told {
			d.log.Warn("mesh config", "problem", p.String())
		}
	}
	if d.opts.trustDomain != "" {
		s.TrustDomain = d.opts.trustDomain
	}
	domain, err := identity.ParseTrustDomain(s.TrustDomain)
	if err != nil {
		return nil, fmt.Errorf("flag --trust-domain: %w", err)
	}
	if d.opts.domain = domain; d.opts.meshNS == "" {
		d.opts.meshNS = string(s.RootNamespace)
	}
	return s, nil
}

func (d *heddled) openSource() error {
	log := d.log.With("part", "config")
	if d.opts.configDir != "" {
		d.store = config.New(file.Name)
		src, err := file.New(d.opts.configDir, d.store, log)
		d.source = src
		return err
	}
	client, err := kube.Open(d.opts.kubeconfig)
	if err != nil {
		return err
	}
	d.client, d.store = client, config.New(kube.Name)
	d.source = kube.NewSource(client, d.store, log)
	return nil
}

func (d *heddled) openState() (err error) {
	if d.addresses, err = vip.Open(d.opts.state("addresses.json")); err != nil {
		return err
	}
	if d.accepted, err = accepted.Open(d.opts.state("accepted.json"), d.log); err != nil {
		return err
	}
	d.board, err = health.New(health.Options{Record: d.opts.state("health.json")})
	return err
}

// authenticator finds who a client is: its certificate, a join token, or a Kubernetes token.
func (d *heddled) authenticator() (serve.Authenticator, error) {
	var tokens token.Reviewers
	if d.opts.joinTokens != "" {
		folder, err := token.Open(d.opts.joinTokens)
		if err != nil {
			return nil, err
		}
		for _, broken := range folder.Broken() {
			d.log.Warn("join token is left out", "error", broken)
		}
		tokens = append(tokens, folder)
	}
	if d.client != nil {
		tokens = append(tokens, d.client.Tokens())
	}
	if d.opts.allowAnonymous {
		d.log.Warn("proxies without credential are served the identity that they claim, on loopback addresses and sockets")
	}
	c := serve.Credentials{TrustDomain: d.opts.domain}
	if len(tokens) > 0 {
		c.Tokens = tokens
	}
	return c, nil
}

// publish hands a snapshot on to the compiler and the server. It is called from the publisher's goroutine, one snapshot after the other.
func (d *heddled) publish(p snapshot.Published) {
	if err := d.addresses.Settle(); err != nil {
		d.log.Error("addresses given to services are not recorded; a restart may give others", "error", err)
	}
	store, changes := d.memo.Publish(p.Now)
	d.serve.Publish(serve.Publication{Revision: p.Now.Revision, Store: store, Changes: changed(changes), Since: p.Since})
	d.log.Info("snapshot published", "revision", uint64(p.Now.Revision), "services", p.Now.Services.Len(), "workloads", p.Now.Workloads.Len(),
		"routes", p.Now.Routes.Len(), "took", time.Since(p.Since).Round(time.Millisecond))
}

// changed is the compiler's list in the server's form.
func changed(list compile.Changes) iter.Seq[serve.Change] {
	return func(yield func(serve.Change) bool) {
		for name, variant := range list {
			if !yield(serve.Change{Name: name, Variant: variant}) {
				return
			}
		}
	}
}

// listen opens every socket before anything runs, so that a busy port is told at start.
func (d *heddled) listen() error {
	open := func(name, address string, tls bool) error {
		if address == "" {
			return nil
		}
		l, err := serve.Listen(name, address)
		if err != nil {
			return err
		}
		e := serve.Endpoint{Name: name, Listener: l}
		if tls {
			e.TLS = d.serverTLS()
		}
		d.endpoints = append(d.endpoints, e)
		return nil
	}
	errs := []error{open("xds-address", d.opts.xdsAddress, false), open("xds-tls-address", d.opts.xdsTLSAddress, true)}
	for _, path := range d.opts.xdsSockets {
		errs = append(errs, open("xds-socket", "unix:"+path, false))
	}
	errs = append(errs, d.web.listen())
	if d.opts.webhookAddress != "" {
		d.webhook = newWebhook(d)
		errs = append(errs, d.webhook.listen())
	}
	if err := errors.Join(errs...); err != nil {
		for _, e := range d.endpoints {
			_ = e.Listener.Close()
		}
		return err
	}
	return nil
}

// run starts every part and waits for the end of ctx; then it drains and records.
func (d *heddled) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.source.Run(ctx) })
	group.Go(func() error { return d.publisher.Run(ctx) })
	group.Go(func() error { return d.serve.Run(ctx, d.endpoints, d.services()...) })
	group.Go(func() error { return d.web.run(ctx) })
	group.Go(func() error { return d.tellLate(ctx) })
	if d.client != nil {
		group.Go(func() error { return d.writeStatus(ctx) })
	}
	if d.webhook != nil {
		group.Go(func() error { return d.webhook.run(ctx) })
	}
	d.log.Info("heddled started", "version", version, "http", d.web.address(), "debugToken", d.opts.tokenFile, "config", d.opts.configDir+d.opts.kubeconfig)
	err := group.Wait()
	d.log.Info("heddled ends")
	return errors.Join(err, d.board.Save(), d.accepted.Save())
}
