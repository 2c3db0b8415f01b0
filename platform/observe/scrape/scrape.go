// Package scrape reads the metrics of everything that a configuration names, as Prometheus does and with its code: discovery, relabelling, up and scrape_*
// series, markers of staleness. It adds limits, because a store inside a mesh must not fall to one target's labels.
//
// In: Prometheus' configuration (scrape_configs, remote_write), with targets from files, Kubernetes, or the configuration itself. Out: samples in a store,
// and to those that remote_write names.
package scrape

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/util/logging"
	"golang.org/x/sync/errgroup"

	_ "github.com/prometheus/prometheus/discovery/file"       // file_sd_configs
	_ "github.com/prometheus/prometheus/discovery/kubernetes" // kubernetes_sd_configs

	"github.com/heddle-mesh/heddle/platform/observe/store"
)

// Options of New.
type Options struct {
	Store    *store.Store
	Limits   Limits
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Scraper reads targets.
type Scraper struct {
	*scrape.Manager // for the API: targets and their metadata
	discovery       *discovery.Manager
	remote          *remote.Storage
	log             *slog.Logger
	stop            context.CancelFunc
}

// Times.
const (
	// targetsEvery bounds how soon new targets are scraped.
	targetsEvery = time.Second
	// flush bounds the wait for what remote writers hold when the program ends.
	flush = 5 * time.Second
)

// New makes a scraper without targets; Apply gives it some.
func New(o Options) (*Scraper, error) {
	ctx, stop := context.WithCancel(context.Background())
	s := &Scraper{log: o.Log, stop: stop}
	metrics, err := discovery.CreateAndRegisterSDMetrics(o.Registry)
	if err != nil {
		stop()
		return nil, fmt.Errorf("prepare the discovery of targets: %w", err)
	}
	s.discovery = discovery.NewManager(ctx, o.Log.With("part", "discovery"), o.Registry, metrics, discovery.Name("scrape"), discovery.Updatert(targetsEvery))
	s.remote = remote.NewStorage(o.Log.With("part", "remote write"), o.Registry, o.Store.StartTime, o.Store.Dir(), flush, s, false)
	o.Store.SetWriteNotified(s.remote)
	fan := storage.NewFanout(o.Log, newLimited(o.Store, o.Limits, o.Log, o.Registry), s.remote)
	s.Manager, err = scrape.NewManager(&scrape.Options{
		PassMetadataInContext: true, DiscoveryReloadInterval: model.Duration(targetsEvery), DiscoveryReloadOnStartup: true,
	}, o.Log.With("part", "scrape"), logging.NewJSONFileLogger, nil, fan, o.Registry)
	if err != nil {
		stop()
		return nil, fmt.Errorf("prepare scrapes: %w", err)
	}
	return s, nil
}

// Get is the manager of scrapes, for remote writers that send metadata.
func (s *Scraper) Get() (*scrape.Manager, error) { return s.Manager, nil }

// Load reads a configuration. What only a whole Prometheus does is refused.
func Load(path string, log *slog.Logger) (*config.Config, error) {
	c, err := config.LoadFile(path, false, log)
	if err != nil {
		return nil, fmt.Errorf("read the configuration %s: %w", path, err)
	}
	for _, not := range []struct {
		field string
		used  bool
	}{
		{"rule_files", len(c.RuleFiles) > 0},
		{"alerting", len(c.AlertingConfig.AlertmanagerConfigs) > 0 || len(c.AlertingConfig.AlertRelabelConfigs) > 0},
		{"remote_read", len(c.RemoteReadConfigs) > 0},
		{"tracing", c.TracingConfig.Endpoint != ""},
		{"global.query_log_file", c.GlobalConfig.QueryLogFile != ""},
	} {
		if not.used {
			return nil, fmt.Errorf("%s: %s is not honoured by heddle-observe; leave it out, or run Prometheus and let it scrape the mesh (heddle observe scrape-config)", path, not.field)
		}
	}
	return c, nil
}

// Apply makes a configuration the one in effect. What it does not change goes on.
func (s *Scraper) Apply(c *config.Config) error {
	jobs, err := c.GetScrapeConfigs()
	if err != nil {
		return fmt.Errorf("read the scrape configurations: %w", err)
	}
	found := map[string]discovery.Configs{}
	for _, j := range jobs {
		found[j.JobName] = j.ServiceDiscoveryConfigs
	}
	if err := errors.Join(s.remote.ApplyConfig(c), s.Manager.ApplyConfig(c), s.discovery.ApplyConfig(found)); err != nil {
		return fmt.Errorf("apply the configuration: %w", err)
	}
	return nil
}

// Run scrapes until the context ends, and then sends what remote writers still hold.
func (s *Scraper) Run(ctx context.Context) error {
	g := errgroup.Group{}
	g.Go(s.discovery.Run)
	g.Go(func() error { return s.Manager.Run(s.discovery.SyncCh()) })
	<-ctx.Done()
	s.Manager.Stop()
	s.stop()
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, s.remote.Close())
}
