// Package snapshot turns what the sources hold into one immutable mesh.Snapshot after another.
//
// In: a config.Store and workload health. Out: snapshots, published whole behind an atomic pointer, and the problems of every object. A Builder does the
// work and is for one goroutine; a Publisher owns one, waits until changes pause, and is safe for concurrent readers.
package snapshot

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/control/health"
	"github.com/heddle-mesh/heddle/control/registry"
	"github.com/heddle-mesh/heddle/control/translate"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
)

// Objects is where the builder reads objects.
type Objects interface {
	Get(ref api.Ref) (*config.Entry, bool)
}

// Accepted keeps the last version of each object that was usable.
type Accepted interface {
	Get(ref api.Ref) (api.Object, bool)
	Put(o api.Object)
	Delete(ref api.Ref)
}

// Builder holds the state between two snapshots.
type Builder struct {
	opts     registry.Options
	objects  Objects
	accepted Accepted
	index    *registry.Index
	now      mesh.Snapshot // the tables in the making
	asked    *asked
	nouns    map[mesh.Ref]nouns
	status   map[mesh.Ref]stated                      // what objects' status should say
	listed   map[listKey]map[mesh.Ref]struct{}        // present objects of some kinds
	sets     map[mesh.Ref]map[mesh.Ref]struct{}       // ListenerSets by Gateway
	setOf    map[mesh.Ref]mesh.Ref                    // and the other way round
	defaults map[mesh.Ref]struct{}                    // Gateways that take routes which name no parent
	within   map[mesh.Namespace]map[mesh.Ref]struct{} // present objects by namespace
	members  members
	dirty    map[mesh.Ref]struct{}
	told     map[mesh.Ref]struct{}                  // objects whose problems changed
	problems map[mesh.Ref]map[string][]mesh.Problem // by object and what said them
	from     map[string]map[mesh.Ref]struct{}       // the same the other way round

	meshRoutes *shelf[mesh.Host, *mesh.Route]
	gateRoutes *shelf[mesh.GatewayID, *mesh.Route]
	traffic    *shelf[mesh.Host, *mesh.Traffic]
	sidecars   *shelf[mesh.Namespace, *mesh.SidecarScope]
	backendTLS *shelf[mesh.ServiceID, *mesh.BackendTLS]
	authn      *shelf[mesh.Namespace, *mesh.PeerAuthn]
	authz      *shelf[mesh.Namespace, *mesh.Authorization]
	denials    *shelf[mesh.Namespace, *mesh.Denial]
	filters    *shelf[mesh.Namespace, *mesh.EnvoyFilter]
	telemetry  *shelf[mesh.Namespace, *mesh.Telemetry]
	rivalry    rivalry
}

// NewBuilder makes a builder of an empty mesh.
func NewBuilder(settings *mesh.Settings, opts registry.Options, objects Objects, accepted Accepted) *Builder {
	b := &Builder{opts: opts, objects: objects, accepted: accepted, index: registry.New(opts), now: *mesh.NewSnapshot(settings), asked: newAsked(),
		nouns: map[mesh.Ref]nouns{}, status: map[mesh.Ref]stated{}, listed: map[listKey]map[mesh.Ref]struct{}{}, sets: map[mesh.Ref]map[mesh.Ref]struct{}{}, setOf: map[mesh.Ref]mesh.Ref{}, defaults: map[mesh.Ref]struct{}{}, within: map[mesh.Namespace]map[mesh.Ref]struct{}{},
		members: members{chosen: map[mesh.Namespace]bool{}, left: map[mesh.Namespace]map[mesh.Ref]struct{}{}},
		rivalry: rivalry{hosts: map[mesh.Host]struct{}{}, rules: map[mesh.Host]struct{}{}, sidecars: map[mesh.Namespace]struct{}{}, telemetry: map[mesh.Namespace]struct{}{}, gates: map[mesh.GatewayID]struct{}{}},
		dirty:   map[mesh.Ref]struct{}{}, told: map[mesh.Ref]struct{}{}}
	b.problems, b.from = map[mesh.Ref]map[string][]mesh.Problem{}, map[string]map[mesh.Ref]struct{}{}
	origin := func(r *mesh.Route) mesh.Ref { return r.Origin }
	b.meshRoutes = newShelf(&b.now.MeshRoutes, mesh.CompareRoutes, origin)
	b.gateRoutes = newShelf(&b.now.GateRoutes, mesh.CompareRoutes, origin)
	b.traffic = newShelf(&b.now.Traffic, mesh.CompareTraffic, func(t *mesh.Traffic) mesh.Ref { return t.Origin })
	b.backendTLS = newShelf(&b.now.BackendTLS, func(x, y *mesh.BackendTLS) int {
		return cmp.Or(cmp.Compare(x.Port, y.Port), mesh.CompareRef(x.Origin, y.Origin))
	}, func(t *mesh.BackendTLS) mesh.Ref { return t.Origin })
	b.sidecars = newShelf(&b.now.Sidecars, mesh.CompareSidecars, func(s *mesh.SidecarScope) mesh.Ref { return s.Origin })
	b.authn = newShelf(&b.now.Authn, func(x, y *mesh.PeerAuthn) int {
		return cmp.Or(cmp.Compare(x.Age, y.Age), mesh.CompareRef(x.Origin, y.Origin))
	},
		func(p *mesh.PeerAuthn) mesh.Ref { return p.Origin })
	b.authz = newShelf(&b.now.Authz, func(x, y *mesh.Authorization) int { return mesh.CompareRef(x.Origin, y.Origin) },
		func(a *mesh.Authorization) mesh.Ref { return a.Origin })
	b.denials = newShelf(&b.now.Denials, func(x, y *mesh.Denial) int { return mesh.CompareRef(x.Origin, y.Origin) },
		func(d *mesh.Denial) mesh.Ref { return d.Origin })
	b.filters = newShelf(&b.now.Filters, mesh.CompareFilters, func(f *mesh.EnvoyFilter) mesh.Ref { return f.Origin })
	b.telemetry = newShelf(&b.now.Telemetry, mesh.CompareTelemetry, func(t *mesh.Telemetry) mesh.Ref { return t.Origin })
	return b
}

// Apply takes a batch of changes and gives the snapshot after it, with the objects whose problems changed. When nothing differs it is nil.
func (b *Builder) Apply(refs []api.Ref, changed []health.Workload) (*mesh.Snapshot, []mesh.Ref) {
	before := b.now
	for _, r := range refs {
		b.dirty[r] = struct{}{}
	}
	b.index.HealthChanged(changed)
	// The registry comes first, because routes and rules ask about services; an answer that changes puts the asker on the list again.
	for {
		b.settle(0, 1)
		b.takeServices(b.index.Flush())
		b.settle(2, lastPhase)
		if len(b.dirty) == 0 {
			break
		}
	}
	b.tellConflicts()
	told := slices.SortedFunc(maps.Keys(b.told), mesh.CompareRef)
	clear(b.told)
	if sameTables(&before, &b.now) {
		return nil, told
	}
	b.now.Revision++
	snap := b.now
	return &snap, told
}

// settle translates the dirty objects of some phases, in order: a translation can only make objects of later phases dirty.
func (b *Builder) settle(first, last int) {
	for p := first; p <= last; p++ {
		var batch []mesh.Ref
		for r := range b.dirty {
			if phase(r) == p {
				batch = append(batch, r)
			}
		}
		slices.SortFunc(batch, mesh.CompareRef)
		for _, r := range batch {
			delete(b.dirty, r)
			b.update(r)
		}
	}
}

// update translates one object and puts its nouns where they belong.
func (b *Builder) update(ref mesh.Ref) {
	b.asked.forget(ref)
	b.choose(ref)
	e, ok := b.get(ref)
	b.present(ref, ok)
	b.presentSet(ref, e)
	b.presentClassDefault(ref, e)
	b.presentDefault(ref, ok)
	b.recheck(b.aboutObject(ref))
	if ref.Kind == "Service" && ref.Group == api.GroupCore {
		b.tellGatesIn(ref.Namespace)
	}
	if !ok {
		b.accepted.Delete(ref)
		b.put(ref, nouns{})
		b.complain("object", ref, nil)
		b.tell(includedBy(ref), nil)
		delete(b.nouns, ref)
		delete(b.status, ref)
		return
	}
	n, problems, status := b.meaning(e)
	b.put(ref, n)
	b.complain("object", ref, problems)
	b.state(ref, e.Object, status)
}

// meaning translates an object. One that is broken keeps what its last good version meant, unless trust is at stake: a broken security object denies.
func (b *Builder) meaning(e *config.Entry) (nouns, []mesh.Problem, *condition.Status) {
	o, in := e.Object, lookup{b, e.Object.Ref()}
	if !o.Kind.Istio() && !o.Kind.Gateway() {
		n, problems, status := b.core(o, in)
		return n, append(slices.Clone(e.Problems), problems...), status
	}
	r := translate.Object(o, e.Problems, in)
	if !r.Broken() || o.Kind.Security || len(r.Denials) > 0 { // what guards is never replaced by what guarded once
		if !r.Broken() {
			b.accepted.Put(o)
		}
		b.tell(includedBy(o.Ref()), r.Elsewhere)
		return b.take(o, r), r.Problems, r.Status
	}
	last, ok := b.accepted.Get(o.Ref())
	if !ok {
		return nouns{}, r.Problems, r.Status
	}
	last.Status = o.Status // what was given to it since
	good := translate.Object(last, nil, in)
	if good.Broken() {
		return nouns{}, r.Problems, r.Status
	}
	b.tell(includedBy(last.Ref()), good.Elsewhere)
	return b.take(last, good), append(slices.Clone(r.Problems), mesh.Problem{Object: o.Ref(), Code: mesh.CodeInvalid,
		Message: "the last version that was valid stays in effect", Hint: "correct the object"}), r.Status
}

// includedBy is the source of what an object says about those that it includes.
func includedBy(ref mesh.Ref) string { return "included by " + ref.String() }

// put makes the tables hold an object's nouns and nothing else of it.
func (b *Builder) put(ref mesh.Ref, n nouns) {
	old := b.nouns[ref]
	n.route, n.traffic, n.gateway = keep(old.route, n.route), keep(old.traffic, n.traffic), keep(old.gateway, n.gateway)
	n.sidecar = keep(old.sidecar, n.sidecar)
	n.authn, n.authz, n.secret = keep(old.authn, n.authn), keep(old.authz, n.authz), keep(old.secret, n.secret)
	n.filter, n.telemetry = keep(old.filter, n.filter), keep(old.telemetry, n.telemetry)
	keepAll(old.more, n.more)
	keepAll(old.denials, n.denials)
	keepAll(old.backendTLS, n.backendTLS)
	b.nouns[ref] = n
	b.putRegistry(ref, old, n)
	if n.route != old.route {
		b.putRoute(ref, n.route)
	}
	for i := range max(len(old.more), len(n.more)) {
		if was, is := nth(old.more, i), nth(n.more, i); was != is {
			b.putRoute(nthRef(ref, i), is)
		}
	}
	if n.traffic != old.traffic {
		b.putTraffic(ref, n.traffic)
	}
	if n.gateway != old.gateway {
		b.putGateway(old.gateway, n.gateway)
	}
	if n.sidecar != old.sidecar {
		b.putSidecar(ref, n.sidecar)
	}
	if n.authn != old.authn {
		b.authn.set(ref, one(n.authn, ref.Namespace))
	}
	if n.authz != old.authz {
		b.authz.set(ref, one(n.authz, ref.Namespace))
	}
	if n.filter != old.filter {
		b.filters.set(ref, one(n.filter, ref.Namespace))
	}
	if n.telemetry != old.telemetry {
		b.putTelemetry(ref, n.telemetry)
	}
	if n.secret != old.secret {
		id := mesh.SecretID{Namespace: ref.Namespace, Name: ref.Name}
		if b.now.Secrets = b.now.Secrets.Without(id); n.secret != nil {
			b.now.Secrets = b.now.Secrets.With(id, n.secret)
		}
	}
	b.putBackendTLS(ref, old.backendTLS, n.backendTLS)
	under := map[mesh.Namespace][]*mesh.Denial{}
	for _, d := range n.denials {
		under[d.Scope.Namespace] = append(under[d.Scope.Namespace], d)
	}
	b.denials.set(ref, under)
}

// nth is an element of a list, nil behind its end.
func nth[T any](list []*T, i int) *T {
	if i < len(list) {
		return list[i]
	}
	return nil
}

// nthRef names one of several routes of an object in the tables.
func nthRef(ref mesh.Ref, i int) mesh.Ref {
	ref.Name += "#" + strconv.Itoa(i)
	return ref
}

func one[K comparable, V any](v *V, k K) map[K][]*V {
	if v == nil {
		return nil
	}
	return map[K][]*V{k: {v}}
}

func (b *Builder) putRegistry(ref mesh.Ref, old, n nouns) {
	if n.definition != nil || old.definition != nil {
		b.index.SetDefinition(ref, n.definition)
	}
	if n.slice != nil || old.slice != nil {
		b.index.SetSlice(ref, n.slice)
	}
	if in := cmp.Or(n.instance, old.instance); in != nil {
		b.index.SetInstance(in.ID, n.instance)
	}
	if ref.Kind == "Node" && n.locality != old.locality {
		b.index.SetNode(ref.Name, n.locality)
	}
}

// sameTables says whether two states of the tables are one.
func sameTables(a, b *mesh.Snapshot) bool {
	for range mesh.Diff(a, b) {
		return false
	}
	return true
}
