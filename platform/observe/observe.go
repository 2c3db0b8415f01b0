// Package observe keeps the metrics of a mesh and answers questions about them: it is the composition root of heddle-observe.
//
// In: Options and a configuration in Prometheus' language. Out: Prometheus' HTTP API over what was scraped. The store (store), the scrapes (scrape) and the
// questions (query) are Prometheus' own code inside; jobs writes configurations. Only heddle-observe and tests link this: see docs/decisions/050-metrics-beside.md.
package observe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/prometheus/config"
	"golang.org/x/sync/errgroup"

	"github.com/heddle-mesh/heddle/platform/observe/query"
	"github.com/heddle-mesh/heddle/platform/observe/scrape"
	"github.com/heddle-mesh/heddle/platform/observe/store"
)

// Options of New.
type Options struct {
	Config    string // file: Prometheus' scrape_configs and remote_write
	Dir       string // of the samples; made if it does not exist
	Address   string // that the API is served on
	TokenFile string // bearer token of the API; made if it does not exist; "" for none, on loopback addresses only
	Retention time.Duration
	MaxBytes  int64
	Block     time.Duration // see store.Options
	Series    scrape.Limits
	Queries   query.Limits
	Flags     map[string]string // as the API tells them
	Version   string
	Log       *slog.Logger
}

// Server is a store with its scrapes and its API.
type Server struct {
	o        Options
	store    *store.Store
	scraper  *scrape.Scraper
	query    *query.Handler
	server   *http.Server
	listener net.Listener
	config   atomic.Pointer[applied]
}

// applied is the configuration in effect.
type applied struct {
	*config.Config
	at time.Time
}

// New opens the store, reads the configuration and the address; nothing is scraped or answered before Run.
func New(o Options) (s *Server, err error) {
	s = &Server{o: o}
	guard, err := newGuard(o.Address, o.TokenFile)
	if err != nil {
		return nil, err
	}
	first, err := scrape.Load(o.Config, o.Log)
	if err != nil {
		return nil, err
	}
	s.config.Store(&applied{first, time.Now()})
	var plain net.ListenConfig
	if s.listener, err = plain.Listen(context.Background(), "tcp", o.Address); err != nil {
		return nil, fmt.Errorf("serve on %s: %w; choose another with --http-address", o.Address, err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.store, err = store.Open(store.Options{Dir: o.Dir, Retention: o.Retention, MaxBytes: o.MaxBytes, Block: o.Block, Log: o.Log.With("part", "store"), Registry: registry}); err != nil {
		return nil, err
	}
	if s.scraper, err = scrape.New(scrape.Options{Store: s.store, Limits: o.Series, Log: o.Log, Registry: registry}); err != nil {
		return nil, err
	}
	s.query, err = query.New(query.Options{
		Store: s.store, Targets: s.scraper.Manager, Limits: o.Queries, Flags: o.Flags, Address: s.Address(), Version: o.Version, Retention: o.Retention, Log: o.Log, Registry: registry,
		Config: func() *config.Config { return s.config.Load().Config }, Applied: func() time.Time { return s.config.Load().at },
	})
	if err != nil {
		return nil, err
	}
	s.server = &http.Server{Handler: guard.wrap(s.query), ReadHeaderTimeout: 10 * time.Second}
	return s, nil
}

// Check says what is wrong with a configuration, as New and Reload would.
func Check(file string, log *slog.Logger) error {
	c, err := scrape.Load(file, log)
	if err != nil {
		return err
	}
	_, err = c.GetScrapeConfigs()
	return err
}

// Address is where the API is served.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Reload reads the configuration anew. A broken one changes nothing.
func (s *Server) Reload() error {
	c, err := scrape.Load(s.o.Config, s.o.Log)
	if err != nil {
		return err
	}
	if err := s.scraper.Apply(c); err != nil {
		return err
	}
	s.config.Store(&applied{c, time.Now()})
	return nil
}

// grace bounds the wait for requests that run when the server ends.
const grace = 2 * time.Second

// Run scrapes and answers until the context ends, and closes the store.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.scraper.Run(ctx) })
	g.Go(func() error {
		if err := s.scraper.Apply(s.config.Load().Config); err != nil {
			return err
		}
		s.query.Ready()
		if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve on %s: %w", s.Address(), err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		if s.server.Shutdown(end) != nil {
			return s.server.Close()
		}
		return nil
	})
	return errors.Join(g.Wait(), s.close())
}

// close ends what New opened, the store last: queries read it.
func (s *Server) close() (err error) {
	if s.server == nil { // which closes it otherwise
		err = s.listener.Close()
	}
	if s.query != nil {
		err = errors.Join(err, s.query.Close())
	}
	if s.store != nil {
		err = errors.Join(err, s.store.Close())
	}
	return err
}
