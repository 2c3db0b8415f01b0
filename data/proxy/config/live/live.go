// Package live keeps the configuration in force: what came over ADS (or from a bootstrap) becomes one immutable config.Config, published whole.
//
// In: encoded resources, in any order. Out: configurations that are complete (warming), subscriptions to what they refer to, and rejections with the resource's name
// and the field's path. A broken resource changes nothing: its last good version stays. All methods are safe for concurrent use; the sink is called by one goroutine
// at a time, under the lock, and must not call back.
package live

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/config/decode"
	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/client"
	"github.com/heddle-mesh/heddle/xds/nds"
)

// resolveWait bounds how long a cluster waits for the addresses of its names.
const resolveWait = 15 * time.Second

// settle is how long after the first answer a type that was never heard of counts as empty, for servers that say nothing of what they have not
// (Envoy's default of initial_fetch_timeout).
const settle = 15 * time.Second

// Subscriber asks the control plane for resources; *client.Client is one.
type Subscriber interface {
	Subscribe(typeURL string, names ...string)
	Unsubscribe(typeURL string, names ...string)
}

// Options are the parts that a Live works with.
type Options struct {
	Decoder *decode.Decoder
	// Apply puts a configuration into force. When it fails nothing has changed.
	Apply func(*config.Config) error
	// Secret stores a secret that came; a nil secret was removed. It runs before a configuration that needs it is applied.
	Secret func(name string, s *config.SecretRef)
	// Names takes the name table; nil: none is asked for.
	Names func(nds.Table)
	// Identity says whether the workload's own certificate is there; nil: there is none to wait for.
	Identity func() bool
	// Resolve looks a host name up; nil leaves names in endpoints, for a dialer that takes them.
	Resolve Resolver
	// Checked says whether the endpoints of a cluster that has health checks, and is in force, have had their first; nil: nobody waits for them.
	Checked func(cluster string) bool
	Log     *slog.Logger
}

// Live is the configuration in force.
type Live struct {
	opts    Options
	current atomic.Pointer[config.Config]

	mu          sync.Mutex
	sub         Subscriber
	vhds        bool // the server may send virtual hosts one by one
	listeners   map[string]*slot[config.Listener]
	clusters    map[string]*slot[config.Cluster]
	tables      map[string]*held[config.RouteTable]
	hosts       map[string]map[string]*held[config.VirtualHost] // by route configuration and resource name
	heardHosts  map[string]bool                                 // route configurations whose virtual hosts the server has told, if only that there are none
	assignments map[string]*held[config.Assignment]
	secrets     map[string]*held[config.SecretRef]
	names       *held[nds.Table]
	built       map[string]*builtTable
	resolving   map[string]*resolution
	faults      map[xds.Name]Fault
	asked       map[string]map[string]bool // type → names
	heard       map[string]bool            // types that a response came for, or that count as empty
	wanted      []string                   // types that the first configuration needs
	ready       atomic.Bool
	timer       *time.Timer
	closed      bool
}

// held is one accepted resource.
type held[T any] struct {
	value  *T // nil: the server says that there is none
	res    *xds.Resource
	static bool
	at     time.Time
}

// slot is a listener or a cluster: what is in force, and what waits to be.
type slot[T any] struct {
	live, next *held[T]
	since      time.Time // next has come
	// built is the published form of a cluster, made of live and from.
	built     *config.Cluster
	builtLive *held[T]
	from      *config.Assignment
}

// Fault is why a resource was refused.
type Fault struct {
	Reason  string
	At      time.Time
	Version string
	Body    []byte
}

// New makes an empty configuration.
func New(o Options) *Live {
	l := &Live{
		opts: o, listeners: map[string]*slot[config.Listener]{}, clusters: map[string]*slot[config.Cluster]{}, tables: map[string]*held[config.RouteTable]{},
		hosts: map[string]map[string]*held[config.VirtualHost]{}, heardHosts: map[string]bool{}, assignments: map[string]*held[config.Assignment]{}, secrets: map[string]*held[config.SecretRef]{},
		built: map[string]*builtTable{}, resolving: map[string]*resolution{}, faults: map[xds.Name]Fault{}, asked: map[string]map[string]bool{}, heard: map[string]bool{},
	}
	l.current.Store(&config.Config{Routes: map[string]*config.RouteTable{}, Clusters: map[string]*config.Cluster{}})
	return l
}

// Current is the configuration in force.
func (l *Live) Current() *config.Config { return l.current.Load() }

// Ready says whether a complete first configuration is in force.
func (l *Live) Ready() bool { return l.ready.Load() }

// Static takes the resources of a bootstrap file. The error says what of them cannot be put into force.
func (l *Live) Static(b *decode.Bootstrap) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, s := range b.Secrets {
		l.secrets[s.Name] = &held[config.SecretRef]{value: s, static: true, at: now}
		l.opts.Secret(s.Name, s)
	}
	for i, c := range b.Clusters {
		res := raw(xds.Cluster, c.Name, b, i)
		if res != nil {
			c.Version = res.Version
		}
		l.clusters[c.Name] = &slot[config.Cluster]{next: &held[config.Cluster]{value: c, static: true, at: now, res: res}, since: now}
	}
	for i, x := range b.Listeners {
		l.listeners[x.Name] = &slot[config.Listener]{next: &held[config.Listener]{value: x, static: true, at: now, res: raw(xds.Listener, x.Name, b, i)}, since: now}
	}
	var errs []error
	for _, err := range l.reconcile(nil) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Follow asks s for the given types (xds.Listener, xds.Cluster, xds.NameTable), and later for what they refer to. vhds says that virtual hosts may come one by one.
func (l *Live) Follow(s Subscriber, vhds bool, types ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sub, l.vhds, l.wanted = s, vhds, types
	for _, t := range types {
		s.Subscribe(t)
	}
	l.subscribe()
	l.judge()
}

// Expect says how long the first configuration waits for a first answer about a type (initial_fetch_timeout); 0 is for ever, which holds without it.
func (l *Live) Expect(typeURL string, wait time.Duration) {
	if wait == 0 {
		return
	}
	time.AfterFunc(wait, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.heard[typeURL] = true
		l.late(l.reconcile(nil))
	})
}

// OnStream implements client.Handler.
func (l *Live) OnStream(up bool, err error) {
	if !up {
		return
	}
	time.AfterFunc(settle, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, t := range l.wanted {
			l.heard[t] = true
		}
		l.late(l.reconcile(nil))
	})
}

// OnResponse implements client.Handler.
func (l *Live) OnResponse(typeURL string, added []*xds.Resource, removed []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard[typeURL] = true
	if typeURL == xds.VirtualHost {
		l.hearHosts(added, removed)
	}
	var refused []client.Refused
	refuse := func(x *xds.Resource, err error) {
		refused = append(refused, client.Refused{Name: x.Name.Name, Reason: err.Error()})
		l.fault(x, err)
	}
	var changes []*change
	for _, x := range added {
		c, err := l.take(typeURL, x)
		if err != nil {
			refuse(x, err)
			continue
		}
		delete(l.faults, x.Name)
		if c != nil {
			changes = append(changes, c)
		}
	}
	for _, name := range removed {
		l.drop(typeURL, name)
		delete(l.faults, xds.Name{TypeURL: typeURL, Name: name})
	}
	failed := l.reconcile(changes)
	for _, x := range added {
		if err := failed[x.Name]; err != nil {
			refuse(x, err)
			delete(failed, x.Name)
		}
	}
	l.late(failed)
	if len(refused) == 0 {
		return nil
	}
	return &client.Rejection{Resources: refused}
}

// hearHosts notes which route configurations a response about virtual hosts is an answer for: those that it names, and when it is empty all that are there.
func (l *Live) hearHosts(added []*xds.Resource, removed []string) {
	hear := func(name string) {
		if route, ok := xds.RouteOf(name); ok {
			l.heardHosts[route] = true
		}
	}
	for _, x := range added {
		hear(x.Name.Name)
	}
	for _, name := range removed {
		hear(name)
	}
	if len(added) == 0 && len(removed) == 0 {
		for route := range l.tables {
			l.heardHosts[route] = true
		}
	}
}

// fault remembers a refusal.
func (l *Live) fault(x *xds.Resource, err error) {
	l.faults[x.Name] = Fault{Reason: err.Error(), At: time.Now(), Version: x.Version, Body: x.Body}
	l.opts.Log.Warn("resource refused, the last good one stays", "type", xds.ShortType(x.Name.TypeURL), "name", x.Name.Name, "error", err)
}

// late remembers what could not be put into force after it had been acknowledged, because it waited for something else.
func (l *Live) late(failed map[xds.Name]error) {
	for name, err := range failed {
		l.fault(&xds.Resource{Name: name}, err)
	}
}

// Wake looks again at what waits: the workload's certificate has come, or the time is up.
func (l *Live) Wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.late(l.reconcile(nil))
}

// Close ends timers and look-ups.
func (l *Live) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	for _, r := range l.resolving {
		r.cancel()
	}
}

// sortedKeys gives maps an order, so that equal configurations are built alike.
func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

func errStatic(kind, name string) error {
	return fmt.Errorf("%s %q is static (from the bootstrap file) and cannot be replaced; use another name", kind, name)
}
