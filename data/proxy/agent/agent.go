// Package agent runs a stock Envoy beside a workload: bootstrap, configuration, keys, names, restarts and drain.
//
// In: who the workload is and where the control plane is. Out: an Envoy that is configured over one local socket, to which the agent serves the control plane's
// stream (with the credential that Envoy never sees) and the secrets that it makes itself. Run owns everything that it starts and ends it before it returns.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/heddle-mesh/heddle/data/proxy/dns"
	"github.com/heddle-mesh/heddle/data/proxy/secret"
)

// agent has one field per subsystem.
type agent struct {
	o        Options
	log      *slog.Logger
	rotation *secret.Rotation
	names    *dns.Server    // of the workload; nil without DNS
	own      *dns.Server    // of Envoy itself, for the names in its clusters
	resolver netip.AddrPort // where own answers
	relay    *relay
	local    *local
	envoy    *envoy
	admin    *admin
	metrics  *metrics
	quit     context.CancelFunc // asks Run to drain and return
}

// Run keeps an Envoy running until the context ends, then drains it and returns nil. An error is about what cannot be repaired by trying again: options, sockets, a missing binary.
func Run(ctx context.Context, o Options) error {
	if err := o.complete(); err != nil {
		return err
	}
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	a := &agent{o: o, log: o.Log, quit: quit}
	if err := a.open(); err != nil {
		return errors.Join(err, a.close())
	}
	return errors.Join(a.run(ctx), a.close())
}

// open makes the folder and binds every socket before anything runs, so that a busy port is told at start.
func (a *agent) open() (err error) {
	if err := a.openNames(); err != nil {
		return err
	}
	if err := a.folder(); err != nil {
		return err
	}
	a.o.own = func() *secret.SVID { return a.rotation.Current() }
	authority, err := secret.NewClient(a.o.channel(a.o.CAAddress))
	if err != nil {
		return err
	}
	id, err := a.o.Workload.ID()
	if err != nil {
		return err
	}
	a.rotation = &secret.Rotation{CA: authority, ID: id.String(), Log: a.log.With("part", "secret")}
	if a.relay, err = newRelay(a.o.channel(a.o.XDSAddress), a.setNames, a.log.With("part", "xds")); err != nil {
		return err
	}
	if a.metrics, err = newMetrics(&a.o); err != nil {
		return err
	}
	if a.local, err = listenLocal(a.o.socket(), a.relay, a.metrics, newSecrets(a.rotation, a.log.With("part", "sds"))); err != nil {
		return err
	}
	a.envoy = &envoy{o: a.o, environment: a.metrics.environment, log: a.log.With("part", "envoy"), silence: a.relay.silence}
	a.admin, err = openAdmin(a)
	return err
}

func (a *agent) folder() error {
	if err := os.MkdirAll(a.o.WorkDir, 0o700); err != nil {
		return fmt.Errorf("make the agent's folder: %w", err)
	}
	if err := os.Chmod(a.o.WorkDir, 0o700); err != nil {
		return fmt.Errorf("make the agent's folder: %w", err)
	}
	b, err := bootstrap(a.o, a.resolver)
	if err != nil {
		return err
	}
	if err := os.WriteFile(a.o.bootstrapFile(), b, 0o600); err != nil {
		return fmt.Errorf("write Envoy's bootstrap: %w", err)
	}
	return nil
}

func (a *agent) run(ctx context.Context) error {
	// What Envoy needs lives longer than the context: until Envoy has drained.
	live, end := context.WithCancel(context.Background())
	group, live := errgroup.WithContext(live)
	group.Go(func() error { return ended(a.rotation.Run(live)) })
	group.Go(func() error { return a.local.run(live) })
	group.Go(func() error { return a.admin.run(live) })
	if p := a.o.probe; p != nil {
		group.Go(func() error { p.Run(live, a.envoy.ready, a.relay.tell); return nil })
	}
	failed := make(chan struct{})
	go func() {
		defer close(failed)
		<-live.Done()
		a.quit() // a part that failed ends the rest
	}()
	err := a.envoy.supervise(ctx)
	end()
	<-failed
	return errors.Join(err, group.Wait())
}

// ended turns the end of a context into success.
func ended(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// close lets go of what open made, as far as it got.
func (a *agent) close() error {
	if a.admin != nil {
		a.admin.close()
	}
	if a.local != nil {
		a.local.close()
	}
	if a.relay != nil {
		a.relay.close()
	}
	for _, s := range []*dns.Server{a.names, a.own} {
		if s != nil {
			s.Close()
		}
	}
	if a.o.temporary {
		return os.RemoveAll(a.o.WorkDir)
	}
	for _, f := range []string{a.o.bootstrapFile(), a.o.socket(), a.o.envoySocket()} {
		_ = os.Remove(f) // it may not be there
	}
	return nil
}

func (o *Options) socket() string        { return filepath.Join(o.WorkDir, "xds.sock") }
func (o *Options) envoySocket() string   { return filepath.Join(o.WorkDir, "envoy.sock") }
func (o *Options) bootstrapFile() string { return filepath.Join(o.WorkDir, "envoy.json") }
