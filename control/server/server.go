// Package server is a whole heddled as a value: sources, translation, snapshots, compilation, xDS, certificates, status, and the pages about all that.
//
// In: Options. Out: a control plane that runs until its context ends. It is the composition root of the control plane; what the parts do is said in their own
// packages. Several may run in one process.
package server

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/heddle-mesh/heddle/control/ca"
	"github.com/heddle-mesh/heddle/control/compile"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/control/config/accepted"
	"github.com/heddle-mesh/heddle/control/config/file"
	"github.com/heddle-mesh/heddle/control/config/settings"
	"github.com/heddle-mesh/heddle/control/health"
	"github.com/heddle-mesh/heddle/control/register"
	"github.com/heddle-mesh/heddle/control/registry"
	"github.com/heddle-mesh/heddle/control/registry/vip"
	"github.com/heddle-mesh/heddle/control/serve"
	"github.com/heddle-mesh/heddle/control/snapshot"
	"github.com/heddle-mesh/heddle/control/status"
	"github.com/heddle-mesh/heddle/control/token"
	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
)

// Server is one heddled. It has one field per subsystem, in the order in which data goes through them.
type Server struct {
	opts         Options
	log          *slog.Logger
	metrics      *prometheus.Registry
	apis         apis // empty with a folder
	store        *config.Store
	source       interface{ Run(context.Context) error }
	addresses    *vip.Allocator
	accepted     *accepted.Versions
	board        *health.Board
	registrar    *register.Registrar
	publisher    *snapshot.Publisher
	status       *status.Board
	rejected     *status.Rejections
	memo         *compile.Memo
	authority    *ca.Authority // nil without a CA folder
	owners       ownerReferences
	published    chan struct{} // holds one when there is a newer snapshot
	auth         serve.Authenticator
	serve        *serve.Server
	told         []mesh.Problem // of the mesh config
	meshSettings *mesh.Settings
	endpoints    []serve.Endpoint
	web          *web
	webhook      *webhook // nil without an address
}

// New checks the options and opens everything: folders, records and sockets. Nothing runs yet, and a mistake is one sentence that names the option. While the API that keeps
// the certificate authority does not answer, New waits for it, until ctx ends.
func New(ctx context.Context, o Options) (*Server, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	d, log := &Server{opts: o, log: o.Log, metrics: prometheus.NewRegistry(), published: make(chan struct{}, 1)}, o.Log
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
		snapshot.NewBuilder(d.meshSettings, registry.Options{Cluster: mesh.ClusterID(o.ClusterID), Network: mesh.NetworkID(o.Network), TrustDomain: d.opts.domain,
			Health: d.board.State, Addresses: d.addresses}, d.store, d.accepted),
		d.store, d.board, snapshot.Timing{Quiet: o.Quiet, Max: o.Max}, log.With("part", "snapshot"))
	if err := d.openAuthority(ctx); err != nil {
		return nil, err
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
	d.openRegistrar()
	d.serve = serve.New(serve.Options{Authenticator: d.auth, AllowAnonymous: o.AllowAnonymous, TrustDomain: d.opts.domain,
		Observer: newObserver(d.board, d.rejected), Registrar: registrar{d.registrar}, Metrics: serve.NewMetrics(d.metrics), Log: log.With("part", "xds")})
	d.publisher.OnPublish = d.publish
	if d.web, err = newWeb(d); err != nil {
		return nil, err
	}
	return d, d.listen()
}

// settings reads the mesh config; flags count more than the file.
func (d *Server) settings() (*mesh.Settings, error) {
	s := settings.Default()
	if d.opts.MeshConfig != "" {
		var err error
		if s, d.told, err = settings.Read(d.opts.MeshConfig); err != nil {
			return nil, err
		}
		for _, p := range d.told {
			d.log.Warn("mesh config", "problem", p.String())
		}
	}
	networks, err := settings.Networks(d.opts.MeshNetworks)
	if err != nil {
		return nil, err
	}
	for _, p := range networks {
		d.log.Warn("mesh networks", "problem", p.String())
	}
	d.told = append(d.told, networks...)
	s.Injects = d.opts.InjectWebhook != ""
	if d.opts.TrustDomain != "" {
		s.TrustDomain = d.opts.TrustDomain
	}
	domain, err := identity.ParseTrustDomain(s.TrustDomain)
	if err != nil {
		return nil, fmt.Errorf("flag --trust-domain: %w", err)
	}
	if d.opts.domain = domain; d.opts.Namespace == "" {
		d.opts.Namespace = string(s.RootNamespace)
	}
	return s, nil
}

func (d *Server) openSource() error {
	if d.opts.ConfigDir != "" {
		d.store = config.New(file.Name)
		src, err := file.New(d.opts.ConfigDir, d.store, d.log.With("part", "config"))
		d.source = src
		return err
	}
	return d.openAPIs()
}

func (d *Server) openState() (err error) {
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
func (d *Server) authenticator() (serve.Authenticator, error) {
	var tokens token.Reviewers
	if d.opts.JoinTokens != "" {
		folder, err := token.Open(d.opts.JoinTokens)
		if err != nil {
			return nil, err
		}
		for _, broken := range folder.Broken() {
			d.log.Warn("join token is left out", "error", broken)
		}
		tokens = append(tokens, folder)
	}
	if d.apis.cluster != nil {
		tokens = append(tokens, d.apis.cluster.Tokens())
	}
	if d.opts.AllowAnonymous {
		d.log.Warn("proxies without credential are served the identity that they claim, on loopback addresses and sockets")
	}
	c := serve.Credentials{TrustDomain: d.opts.domain}
	if len(tokens) > 0 {
		c.Tokens = tokens
	}
	return c, nil
}

// publish hands a snapshot on to the compiler and the server. It is called from the publisher's goroutine, one snapshot after the other.
func (d *Server) publish(p snapshot.Published) {
	if err := d.addresses.Settle(); err != nil {
		d.log.Error("addresses given to services are not recorded; a restart may give others", "error", err)
	}
	store, changes := d.memo.Publish(p.Now)
	d.serve.Publish(serve.Publication{Revision: p.Now.Revision, Store: store, Changes: changed(changes), Since: p.Since})
	select {
	case d.published <- struct{}{}:
	default: // it is told already
	}
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
func (d *Server) listen() error {
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
	errs := []error{open("xds-address", d.opts.XDSAddress, false), open("xds-tls-address", d.opts.XDSTLSAddress, true)}
	for _, path := range d.opts.XDSSockets {
		errs = append(errs, open("xds-socket", "unix:"+path, false))
	}
	errs = append(errs, d.web.listen())
	if d.opts.WebhookAddress != "" {
		var err error
		if d.webhook, err = newWebhook(d); err == nil {
			err = d.webhook.listen()
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		d.close()
		return err
	}
	return nil
}

// close gives the sockets of a server back that does not run.
func (d *Server) close() {
	for _, e := range d.endpoints {
		_ = e.Listener.Close()
	}
	for _, l := range []net.Listener{d.web.listener, d.webhookListener()} {
		if l != nil {
			_ = l.Close()
		}
	}
}

func (d *Server) webhookListener() net.Listener {
	if d.webhook == nil || d.webhook.listener == nil {
		return nil
	}
	return d.webhook.listener
}

// Run starts every part and waits for the end of ctx; then it drains and records.
func (d *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.source.Run(ctx) })
	group.Go(func() error { return d.publisher.Run(ctx) })
	group.Go(func() error { return d.serve.Run(ctx, d.endpoints, d.services()...) })
	group.Go(func() error { return d.web.run(ctx) })
	group.Go(func() error { return d.tellLate(ctx) })
	group.Go(func() error { return d.registrar.Run(ctx) })
	if w := d.apis.status(); w != nil {
		group.Go(func() error { return d.writeStatus(ctx, w) })
	}
	if d.apis.two() {
		group.Go(func() error { return d.sameKubeconfig(ctx) })
	}
	if d.apis.cluster != nil && d.authority != nil && d.opts.Owner != "" {
		group.Go(func() error { return d.tellCluster(ctx) })
	}
	if d.webhook != nil {
		group.Go(func() error { return d.webhook.run(ctx) })
	}
	d.log.Info("heddled started", "version", d.opts.Version, "http", d.web.address(), "debugToken", d.opts.TokenFile, "config", d.opts.ConfigDir+d.opts.Kubeconfig, "cluster", d.opts.ClusterKubeconfig)
	group.Go(func() error {
		<-ctx.Done()
		d.registrar.Close()
		return d.board.Close() // before the streams end: their workloads live on
	})
	err := group.Wait()
	d.log.Info("heddled ends")
	return errors.Join(err, d.accepted.Save())
}

// HTTPAddress is where the pages are: /ready, /metrics, /version and /debug.
func (d *Server) HTTPAddress() string { return d.web.address() }

// XDSAddresses are where xDS is served, in the order plain, TLS, unix sockets (as unix:PATH).
func (d *Server) XDSAddresses() (all []string) {
	for _, e := range d.endpoints {
		a := e.Listener.Addr()
		if a.Network() == "unix" {
			all = append(all, "unix:"+a.String())
			continue
		}
		all = append(all, a.String())
	}
	return all
}

// Problems is all that is wrong with what users wrote, as /debug/status lists it.
func (d *Server) Problems() []mesh.Problem {
	return slices.Concat(d.told, d.store.Complaints(), d.status.Problems())
}
