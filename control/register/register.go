// Package register keeps a WorkloadEntry for each proxy outside of Kubernetes that names its WorkloadGroup, and what such a proxy says of its workload's health.
//
// In: proxies that come and go, what their probes found, and the groups. Out: entries, written where Entries says: into the API, or beside the objects of a folder. A Registrar
// is safe for concurrent use, and so are the Registrars of several control planes: the newest connection of a workload has its entry. The behaviour is Istio's
// (pilot/pkg/autoregistration), so that either control plane can go on with the entries of the other.
package register

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"sync"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/mesh"
)

// The annotations of entries, which are Istio's.
const (
	markGroup        = "istio.io/autoRegistrationGroup"
	markController   = "istio.io/workloadController"
	markConnected    = "istio.io/connectedAt"
	markDisconnected = "istio.io/disconnectedAt"
)

// The metadata of a node by which a proxy says which entry is its own.
const (
	metaGroup = "AUTO_REGISTER_GROUP"
	metaEntry = "WORKLOAD_ENTRY"
)

// Objects is where groups and entries are read; config.Store is one.
type Objects interface {
	Get(ref api.Ref) (*config.Entry, bool)
	All() iter.Seq[*config.Entry]
	Complete() <-chan struct{}
}

// Accepted gives the last usable version of an object that is broken now.
type Accepted interface {
	Get(ref api.Ref) (api.Object, bool)
}

// Entries is where entries are written. What it gives is as of now, not as a watch last saw it. Errors are config.ErrGone, ErrExists and ErrStale (the object is not any more the
// one that was given), and others of the way there.
type Entries interface {
	Read(ctx context.Context, ref api.Ref) (api.Object, error)
	Create(ctx context.Context, o, owner api.Object) error
	// Annotate sets annotations; an empty value removes one.
	Annotate(ctx context.Context, o api.Object, set map[string]string) error
	WriteStatus(ctx context.Context, o api.Object, status map[string]any) error
	Delete(ctx context.Context, o api.Object) error
}

// Options of a Registrar; zero durations are their defaults.
type Options struct {
	Objects  Objects
	Accepted Accepted
	Entries  Entries
	Sound    func(group api.Object) bool // what decoding cannot say of a group
	Instance string                      // of this control plane among others
	Grace    time.Duration               // after which the entry of a proxy that left is removed; default 10 s
	Refresh  time.Duration               // between two signs of life of an entry; default 10 min
	// Collect says that nobody else removes the entries of a group that is gone, as Kubernetes does by their owner.
	Collect bool
	Metrics *Metrics // nil: not counted
	Log     *slog.Logger
}

// Refusal is why a proxy may not have the entry that it asks for: for the operator of the proxy, in one sentence.
type Refusal struct{ text string }

// Error satisfies error.
func (r Refusal) Error() string { return r.text }

func refuse(format string, args ...any) error { return Refusal{fmt.Sprintf(format, args...)} }

// Registrar keeps the entries of the proxies that are connected to this control plane.
type Registrar struct {
	opts Options
	log  *slog.Logger
	live context.Context
	end  context.CancelFunc

	mu      sync.Mutex
	streams map[api.Ref]int // of proxies that are connected here
}

// New makes a Registrar; Close ends it.
func New(o Options) *Registrar {
	o.Grace, o.Refresh = cmp.Or(o.Grace, 10*time.Second), cmp.Or(o.Refresh, 10*time.Minute)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &Registrar{opts: o, log: o.Log, streams: map[api.Ref]int{}}
	r.live, r.end = context.WithCancel(context.Background())
	return r
}

// Close ends all that the Registrar does. Streams that end from here on end with the control plane, not with their workloads, so their entries stay.
func (r *Registrar) Close() { r.end() }

// Register finds or makes the entry of a proxy that says that it has one, and puts what the entry says of the workload into the proxy. Nil is a proxy without an entry. An error is
// a Refusal, or about the way to the API.
func (r *Registrar) Register(ctx context.Context, p *mesh.Proxy, proven bool) (*Registration, error) {
	group, name := p.Metadata[metaGroup], p.Metadata[metaEntry]
	if group == "" && name == "" {
		return nil, nil
	}
	if !proven {
		r.opts.Metrics.failed()
		return nil, refuse("the proxy wants its workload to be registered, for which it must prove its namespace and service account; show a token or a client certificate")
	}
	select {
	case <-r.opts.Objects.Complete():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if group != "" {
		var err error
		if name, err = Name(group, p); err != nil {
			r.opts.Metrics.failed()
			return nil, err
		}
	}
	g := &Registration{registrar: r, ref: entryRef(p.Namespace, name), auto: group != "", since: time.Now(), probes: make(chan probe, 1), done: make(chan struct{})}
	r.join(g.ref) // before anything is written, so that a connection that ends meanwhile knows of this one
	o, err := g.open(ctx, p, group)
	if err != nil {
		r.leave(g.ref)
		r.opts.Metrics.failed()
		return nil, err
	}
	describe(p, o)
	if _, checked := o.Meta.Annotations[api.MarkHealthChecks]; !g.auto && !checked {
		r.leave(g.ref)
		return nil, nil // the entry is for others to keep
	}
	go g.live()
	return g, nil
}

// open gives the entry of a connection.
func (g *Registration) open(ctx context.Context, p *mesh.Proxy, group string) (api.Object, error) {
	if g.auto {
		return g.registrar.enrol(ctx, p, g.ref, group, g.since)
	}
	return g.registrar.adopt(ctx, p, g.ref, g.since)
}

// mostTries bounds how often others may be quicker.
const mostTries = 5

// enrol gives a proxy the entry that is made from its group.
func (r *Registrar) enrol(ctx context.Context, p *mesh.Proxy, ref api.Ref, group string, now time.Time) (o api.Object, err error) {
	for range mostTries {
		o, err = r.opts.Entries.Read(ctx, ref)
		if errors.Is(err, config.ErrGone) {
			o, err = r.create(ctx, p, group, now)
		} else if err == nil {
			o, err = r.take(ctx, p, o, now)
		}
		if !errors.Is(err, config.ErrExists) && !errors.Is(err, config.ErrStale) && !errors.Is(err, config.ErrGone) {
			return o, err
		}
	}
	return o, err
}

func (r *Registrar) create(ctx context.Context, p *mesh.Proxy, group string, now time.Time) (o api.Object, err error) {
	from, err := r.group(p, group)
	if err != nil {
		return o, err
	}
	if o, err = Entry(from, p); err != nil {
		return o, err
	}
	if err := fits(p, o, "WorkloadGroup "+string(p.Namespace)+"/"+group); err != nil {
		return o, err
	}
	maps.Copy(o.Meta.Annotations, r.connected(now))
	delete(o.Meta.Annotations, markDisconnected)
	if err := r.opts.Entries.Create(ctx, o, from); err != nil {
		return o, err
	}
	r.opts.Metrics.registered()
	r.log.Info("workload registered", "entry", o.Ref().String(), "proxy", p.ID)
	return o, nil
}

// take makes an entry that exists one of this control plane.
func (r *Registrar) take(ctx context.Context, p *mesh.Proxy, o api.Object, now time.Time) (api.Object, error) {
	if err := fits(p, o, "WorkloadEntry "+o.Meta.Namespace+"/"+o.Meta.Name); err != nil {
		return o, err
	}
	if last, ok := moment(o, markConnected); ok && now.Before(last) { // a newer connection has it
		return o, nil
	}
	if err := r.opts.Entries.Annotate(ctx, o, r.connected(now)); err != nil {
		return o, err
	}
	r.opts.Metrics.updated()
	return o, nil
}

// adopt gives a proxy the entry that somebody made for it.
func (r *Registrar) adopt(ctx context.Context, p *mesh.Proxy, ref api.Ref, now time.Time) (o api.Object, err error) {
	for range mostTries {
		o, err = r.opts.Entries.Read(ctx, ref)
		if errors.Is(err, config.ErrGone) {
			return o, refuse("the proxy says that it is that of WorkloadEntry %s/%s, which does not exist; create it, or correct the metadata %s", ref.Namespace, ref.Name, metaEntry)
		}
		if err != nil {
			return o, err
		}
		if err := fits(p, o, "WorkloadEntry "+o.Meta.Namespace+"/"+o.Meta.Name); err != nil {
			return o, err
		}
		if _, checked := o.Meta.Annotations[api.MarkHealthChecks]; !checked {
			return o, nil
		}
		if o, err = r.take(ctx, p, o, now); !errors.Is(err, config.ErrStale) {
			return o, err
		}
	}
	return o, err
}

// connected are the annotations of an entry whose proxy is connected here.
func (r *Registrar) connected(at time.Time) map[string]string {
	return map[string]string{markController: r.opts.Instance, markConnected: stamp(at), markDisconnected: ""}
}

// group finds the group that a proxy names, or its last usable version.
func (r *Registrar) group(p *mesh.Proxy, name string) (api.Object, error) {
	ref := api.Ref{Group: api.GroupNetworking, Kind: "WorkloadGroup", Namespace: p.Namespace, Name: name}
	e, ok := r.opts.Objects.Get(ref)
	if !ok {
		return api.Object{}, refuse("the proxy wants to be registered in WorkloadGroup %s/%s, which does not exist; create it, or correct the metadata %s", p.Namespace, name, metaGroup)
	}
	if api.Valid(e.Problems) && (r.opts.Sound == nil || r.opts.Sound(e.Object)) {
		return e.Object, nil
	}
	if last, ok := r.opts.Accepted.Get(ref); ok {
		return last, nil
	}
	return api.Object{}, refuse("the proxy wants to be registered in WorkloadGroup %s/%s, which is not valid; its status says why", p.Namespace, name)
}

// fits says whether a proxy may have an entry: its credential must be for the account that the entry is for. The namespace is that of its credential anyway.
func fits(p *mesh.Proxy, o api.Object, of string) error {
	spec, ok := o.Spec.(*networking.WorkloadEntry)
	if !ok {
		return refuse("%s cannot be read; its status says why", of)
	}
	if spec.GetServiceAccount() != "" && spec.GetServiceAccount() != p.ServiceAccount {
		return refuse("%s is for service account %s, but the proxy's credential is for %s; give the proxy the token of %s", of, spec.GetServiceAccount(), p.ServiceAccount, spec.GetServiceAccount())
	}
	return nil
}

func entryRef(ns mesh.Namespace, name string) api.Ref {
	return api.Ref{Group: api.GroupNetworking, Kind: "WorkloadEntry", Namespace: ns, Name: name}
}

// stamp writes a time as Istio does.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// moment reads an annotation that is a time.
func moment(o api.Object, mark string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, o.Meta.Annotations[mark])
	return t, err == nil
}
