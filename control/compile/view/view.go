package view

import (
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/heddle-mesh/heddle/internal/memo"
	"github.com/heddle-mesh/heddle/mesh"
)

// Reader records what a computation reads.
type Reader = memo.Reader[*Source, mesh.Proxy, mesh.Key]

// View is one computation's window on the mesh.
type View struct {
	s       *Source
	r       *Reader
	origins []mesh.Ref
	parts   []string // the origins of parts
	notices []mesh.Problem
	scope   *Scope // nil until it is asked for
	listing bool
	scratch []byte
	// covered says that a wider key was read, which changes whenever what is read now does.
	covered bool
	// shaped and settled say that the shape and the settings were read.
	shaped, settled bool
	tried           []*mesh.Patch
	telemetry       *[]*mesh.Telemetry // that counts, nil until it is asked for
	applied         []*mesh.Patch
	// recent are the hosts that were resolved last: a computation asks again and again for the same few.
	recent [2]resolved
	turn   int
}

// resolved is what a host means for the proxy; service is nil for nothing.
type resolved struct {
	host    mesh.Host
	service *mesh.Service
}

var unused = sync.Pool{New: func() any { return &View{} }}

// New is a view for one computation, which ends with Done.
func New(s *Source, r *Reader) *View {
	v := unused.Get().(*View)
	v.s, v.r = s, r
	return v
}

// Scratch is room for n bytes that nobody needs any more when the view is done: parts of a message that is encoded by then.
func (v *View) Scratch(n int) []byte {
	const chunk = 4 << 10
	at := len(v.scratch)
	if cap(v.scratch)-at < n {
		v.scratch, at = make([]byte, 0, max(chunk, n)), 0
	}
	v.scratch = v.scratch[:at+n]
	return v.scratch[at : at : at+n]
}

// Done lets go of a view; nothing may be asked of it any more. What it gave stays as it is.
func (v *View) Done() {
	const (
		room = 64       // what a list of many objects took is not kept
		most = 64 << 10 // nor is what a large message took
	)
	origins, parts, scratch := v.origins, v.parts, v.scratch
	clear(origins)
	clear(parts)
	*v = View{}
	if cap(scratch) <= most {
		v.scratch = scratch[:0]
	}
	if cap(origins) <= room {
		v.origins = origins[:0]
	}
	if cap(parts) <= room {
		v.parts = parts[:0]
	}
	unused.Put(v)
}

// Origins are the users' objects that the result comes from, ordered.
func (v *View) Origins() []string {
	out := make([]string, 0, len(v.origins)+len(v.parts))
	for _, r := range v.origins {
		out = append(out, r.String())
	}
	out = append(out, v.parts...)
	slices.Sort(out)
	return slices.Compact(out)
}

// Notices are what users must be told about the result.
func (v *View) Notices() []mesh.Problem { return v.notices }

// Notice tells the author of an object something about the result.
func (v *View) Notice(p mesh.Problem) { v.notices = append(v.notices, p) }

// From records that the result comes from an object.
func (v *View) From(r mesh.Ref) {
	if v.listing || r == (mesh.Ref{}) {
		return
	}
	const near = 8 // how far back to look: what is named twice is named nearly at once, and the rest is sorted out in the end
	if !slices.Contains(v.origins[max(0, len(v.origins)-near):], r) {
		v.origins = append(v.origins, r)
	}
}

// Listing has f look at objects only for the names of what they are for: the result does not come from them.
func (v *View) Listing(f func()) {
	v.listing = true
	f()
	v.listing = false
}

// Include takes over the origins and notices of a part that the result is made of.
func (v *View) Include(origins []string, notices []mesh.Problem) {
	v.parts = append(v.parts, origins...)
	v.notices = append(v.notices, notices...)
}

func read[K comparable, V any](v *View, noun mesh.Noun, t mesh.Table[K, V], k K) (V, bool) {
	if !v.covered {
		note(v, noun, k)
	}
	return t.Get(k)
}

// note records that a key was read. Nearly all are read several times, and are not made again then.
func note[K comparable](v *View, noun mesh.Noun, k K) {
	for _, was := range v.r.Recent() {
		if name, ok := was.Name.(K); ok && was.Noun == noun && name == k {
			return
		}
	}
	v.r.Read(mesh.Key{Noun: noun, Name: k})
}

// Settings are the mesh-wide settings.
func (v *View) Settings() *mesh.Settings {
	if !v.settled {
		v.r.Read(mesh.Key{Noun: mesh.OfSettings})
		v.settled = true
	}
	return v.s.Settings
}

// Service finds a service, whoever sees it: for what the proxy's own workload serves.
func (v *View) Service(id mesh.ServiceID) (*mesh.Service, bool) {
	s, ok := read(v, mesh.OfServices, v.s.Services, id)
	if ok {
		v.From(s.Origin)
	}
	return s, ok
}

// seen finds a service that is exported to the proxy's namespace.
func (v *View) seen(id mesh.ServiceID) (*mesh.Service, bool) {
	s, ok := read(v, mesh.OfServices, v.s.Services, id)
	if !ok || !v.Visible(s.ExportTo, id.Namespace) {
		return nil, false
	}
	v.From(s.Origin)
	return s, true
}

// Visible says whether an object of namespace owner is seen by the proxy.
func (v *View) Visible(exportTo mesh.Visibility, owner mesh.Namespace) bool {
	if exportTo.Nobody {
		return false
	}
	if !exportTo.Private && len(exportTo.Namespaces) == 0 {
		return true
	}
	if exportTo.Private && v.InNamespace(owner) {
		return true
	}
	return slices.ContainsFunc(exportTo.Namespaces, v.InNamespace)
}

// Resolve finds the service that a host means for the proxy, also by another name of it.
func (v *View) Resolve(h mesh.Host) (*mesh.Service, bool) {
	if h == "" {
		return nil, false
	}
	for i := range v.recent {
		if r := &v.recent[i]; r.host == h {
			return r.service, r.service != nil
		}
	}
	return v.remember(h, v.named)
}

// listed is Resolve of a host that was found in a list of services whose key stands for all of them: what hosts and services there are need not be read once more.
func (v *View) listed(h mesh.Host) (*mesh.Service, bool) {
	return v.remember(h, func(h mesh.Host) (*mesh.Service, bool) {
		v.covered = true
		s, ok := v.named(h)
		v.covered = false
		return s, ok
	})
}

func (v *View) remember(h mesh.Host, named func(mesh.Host) (*mesh.Service, bool)) (*mesh.Service, bool) {
	s, ok := v.follow(named(h))
	if !ok {
		s = nil
	}
	v.recent[v.turn] = resolved{h, s}
	v.turn = (v.turn + 1) % len(v.recent)
	return s, ok
}

// named finds the service of a host: what its Sidecar imports before what routes lead to, that of its own namespace before others, then the oldest.
func (v *View) named(h mesh.Host) (*mesh.Service, bool) {
	if s := v.s.plainHost(h); s != nil && v.open() {
		if !v.covered {
			note(v, mesh.OfHosts, h) // which changes when the service does
		}
		v.From(s.Origin)
		return s, true
	}
	ids, _ := read(v, mesh.OfHosts, v.s.Hosts, h)
	if s, ok := v.choose(ids, func(id mesh.ServiceID) bool { return v.reach(id) == imported }); ok || !v.scopes() {
		return s, ok
	}
	return v.choose(ids, func(id mesh.ServiceID) bool { return v.reach(id) == led })
}

// open says that the proxy knows all services that are exported to it.
func (v *View) open() bool {
	if v.scope != nil {
		return v.scope.Open()
	}
	return !v.scopes()
}

func (v *View) choose(ids []mesh.ServiceID, wanted func(mesh.ServiceID) bool) (*mesh.Service, bool) {
	for _, own := range []bool{true, false} {
		if own && len(ids) < 2 {
			continue // there is nothing to prefer
		}
		for _, id := range ids {
			if own && !v.InNamespace(id.Namespace) || !wanted(id) {
				continue
			}
			if s, ok := v.seen(id); ok {
				return s, true
			}
		}
	}
	return nil, false
}

// FullHost completes the short name of a Kubernetes service, as the DNS of the proxy's pod does: NAME, NAME.NAMESPACE and NAME.NAMESPACE.svc. Other hosts are as they are.
func (v *View) FullHost(h mesh.Host) mesh.Host {
	if _, ok := v.Resolve(h); ok || h == "" {
		return h
	}
	domain := v.Settings().ClusterDomain
	if domain == "" {
		domain = "cluster.local"
	}
	var full string
	switch parts := strings.Split(string(h), "."); {
	case len(parts) == 1:
		full = parts[0] + "." + string(v.Namespace()) + ".svc." + domain
	case len(parts) == 2:
		full = string(h) + ".svc." + domain
	case len(parts) == 3 && parts[2] == "svc":
		full = string(h) + "." + domain
	default:
		return h
	}
	if _, ok := v.Resolve(mesh.Host(full)); ok {
		return mesh.Host(full)
	}
	return h
}

// Services are all services that the proxy knows with their ports that it knows, one for each host, ordered by host. Those that only routes lead to are among them.
func (v *View) Services() iter.Seq2[*mesh.Service, []mesh.Port] {
	return func(yield func(*mesh.Service, []mesh.Port) bool) {
		v.r.Read(mesh.Key{Noun: mesh.OfServices})
		v.r.Read(mesh.Key{Noun: mesh.OfHosts})
		scope := v.Scope()
		var last mesh.Host
		for id := range sorted(v.s.Services) {
			if id.Host == last || v.reach(id) == unknown {
				continue
			}
			s, ok := v.listed(id.Host)
			if last = id.Host; !ok || s.ID.Host != id.Host { // another name of one that has its own turn
				continue
			}
			if ports := v.known(scope, s); len(ports) > 0 && !yield(s, ports) {
				return
			}
		}
	}
}

// Named are the services that the proxy knows by their own names.
func (v *View) Named() iter.Seq[*mesh.Service] {
	return func(yield func(*mesh.Service) bool) {
		for s := range v.Services() {
			if v.reach(s.ID) == imported && !yield(s) {
				return
			}
		}
	}
}

// known are the ports of a service at which the proxy knows it: those of the egress listeners that import it, and those that routes lead to.
func (v *View) known(scope Scope, s *mesh.Service) []mesh.Port {
	if scope.Open() {
		return s.Ports
	}
	led, wide := v.ledPorts(s.ID.Host, scope)
	return slices.DeleteFunc(slices.Clone(s.Ports), func(p mesh.Port) bool {
		return !wide && !slices.Contains(led, p.Number) && !scope.importsAt(s.ID, p.Number)
	})
}

// PortNumbers are the ports that services have, ordered.
func (v *View) PortNumbers() iter.Seq[uint16] {
	v.r.Read(portsKey)
	return sorted(v.s.Ports)
}

// WithPort are the services that the proxy sees and that have a port, one for each host, ordered by host.
func (v *View) WithPort(port uint16) iter.Seq2[*mesh.Service, mesh.Port] {
	return func(yield func(*mesh.Service, mesh.Port) bool) {
		v.r.Read(portKey(port))
		scope := v.Scope()
		ids, _ := v.s.Ports.Get(port)
		var last mesh.Host
		for _, id := range ids {
			if id.Host == last || !scope.listens(id, port) {
				continue
			}
			last = id.Host
			s, ok := v.listed(id.Host)
			if !ok {
				continue
			}
			if p, ok := s.Port(port); ok && !yield(s, p) {
				return
			}
		}
	}
}

// Everywhere are the services that the proxy knows and that have a port, one for each host, whichever listener takes them in.
func (v *View) Everywhere(port uint16) iter.Seq2[*mesh.Service, mesh.Port] {
	return func(yield func(*mesh.Service, mesh.Port) bool) {
		v.r.Read(portKey(port))
		ids, _ := v.s.Ports.Get(port)
		var last mesh.Host
		for _, id := range ids {
			if id.Host == last {
				continue
			}
			last = id.Host
			if s, ok := v.listed(id.Host); ok {
				if p, ok := s.Port(port); ok && !yield(s, p) {
					return
				}
			}
		}
	}
}

// Orphans are hosts of routes for sidecars that no service defines, ordered; with a Sidecar those whose service the proxy does not know.
func (v *View) Orphans() iter.Seq[mesh.Host] {
	if v.Scope().Open() {
		v.r.Read(orphansKey)
		return sorted(v.s.Orphans)
	}
	v.r.Read(mesh.Key{Noun: mesh.OfMeshRoutes})
	return func(yield func(mesh.Host) bool) {
		for h, routes := range v.s.MeshRoutes.All() {
			if !slices.ContainsFunc(routes, func(r *mesh.Route) bool { return len(r.UDP) == 0 && v.follows(r) }) {
				continue
			}
			if _, known := v.Resolve(h); !known && !yield(h) {
				return
			}
		}
	}
}

// Endpoints are those of a service, nil when none are known.
func (v *View) Endpoints(id mesh.ServiceID) []*mesh.Endpoint {
	set, ok := read(v, mesh.OfEndpoints, v.s.Endpoints, id)
	if !ok {
		return nil
	}
	return set.Endpoints
}

// Accounts are the identities (SPIFFE URIs) of a service's endpoints, ordered. Reading them is not a read of the endpoints.
func (v *View) Accounts(id mesh.ServiceID) []string {
	note(v, mesh.OfDerived, accountsFor{id})
	text, ok := v.s.Accounts.Get(id)
	if !ok {
		return nil
	}
	return strings.Split(text, "\n")
}

// covering goes through a host and the wildcards that cover it, the narrowest first: a.b.c, *.b.c, *.c, *.
func covering(h mesh.Host) iter.Seq[mesh.Host] {
	return func(yield func(mesh.Host) bool) {
		if !yield(h) {
			return
		}
		rest := strings.TrimPrefix(string(h), "*.")
		if h == "*" {
			return
		}
		if h.IsWildcard() {
			_, rest, _ = strings.Cut(rest, ".")
		} else if _, after, ok := strings.Cut(rest, "."); ok {
			rest = after
		} else {
			rest = ""
		}
		for rest != "" {
			if !yield(mesh.Host("*." + rest)) {
				return
			}
			_, rest, _ = strings.Cut(rest, ".")
		}
		yield("*")
	}
}

// covers goes through what a table has for a host and, if it may have some, for the wildcards that cover it, the narrowest first.
func covers[V any](v *View, noun mesh.Noun, t mesh.Table[mesh.Host, V], wide bool, h mesh.Host) iter.Seq2[mesh.Host, V] {
	return func(yield func(mesh.Host, V) bool) {
		if own, _ := read(v, noun, t, h); !yield(h, own) || !wide {
			return
		}
		for cover := range covering(h) {
			if cover == h {
				continue
			}
			if x, _ := read(v, noun, t, cover); !yield(cover, x) {
				return
			}
		}
	}
}

// MeshRoutes are the routes for sidecars of a host's port that the proxy sees: those of the narrowest host that covers it, oldest first. Of several
// VirtualServices the oldest alone counts, or, if it asks to be merged, all that do; routes of the Gateway API for one Service are joined, but those of the proxy's own namespace for a Service
// elsewhere take the place of that Service's own.
func (v *View) MeshRoutes(h mesh.Host, port uint16) []*mesh.Route {
	for cover, routes := range covers(v, mesh.OfMeshRoutes, v.s.MeshRoutes, v.shape().wideRoutes, h) {
		var out []*mesh.Route
		claimed, merging := false, false
		for _, r := range routes {
			if len(r.UDP) > 0 {
				continue // of datagrams only
			}
			virtual := r.Origin.Kind == "VirtualService"
			if virtual && claimed && !(merging && r.Merge) || !v.Visible(r.ExportTo, r.Origin.Namespace) || !v.follows(r) {
				continue
			}
			if virtual && !claimed {
				merging = r.Merge
			}
			claimed = claimed || virtual
			out = append(out, r)
		}
		if out = v.called(out, cover, port); len(out) > 0 {
			return out
		}
	}
	return nil
}

// called leaves of routes for a host those that are for the proxy's calls to a port of it.
func (v *View) called(routes []*mesh.Route, h mesh.Host, port uint16) (out []*mesh.Route) {
	var own []*mesh.Route
	consumer := false
	for _, r := range routes {
		mine, all := len(r.Calls) == 0, len(r.Calls) == 0
		for _, c := range r.Calls {
			if c.Host != h || c.Port != 0 && c.Port != port {
				continue
			}
			all = all || c.From == ""
			if c.From != "" && v.InNamespace(c.From) {
				mine, consumer = true, true
			}
		}
		if mine {
			own = append(own, r)
		}
		if all {
			out = append(out, r)
		}
	}
	if consumer {
		out = own
	}
	for _, r := range out {
		v.From(r.Origin)
	}
	return out
}

// DatagramRoutes are the routes for what sidecars send to a host's port in datagrams, oldest first.
func (v *View) DatagramRoutes(h mesh.Host, port uint16) (out []*mesh.Route) {
	routes, _ := read(v, mesh.OfMeshRoutes, v.s.MeshRoutes, h)
	for _, r := range routes {
		if len(r.UDP) > 0 && v.Visible(r.ExportTo, r.Origin.Namespace) && v.follows(r) {
			out = append(out, r)
		}
	}
	return v.called(out, h, port)
}

// GateRoutes are the routes at a gateway, oldest first.
func (v *View) GateRoutes(g mesh.GatewayID) []*mesh.Route {
	routes, _ := read(v, mesh.OfGateRoutes, v.s.GateRoutes, g)
	return routes
}

// Gateways are the gateways that the proxy serves, oldest first and then by name.
func (v *View) Gateways() []*mesh.Gateway {
	v.r.Read(mesh.Key{Noun: mesh.OfGateways})
	var out []*mesh.Gateway
	for _, g := range v.s.Gateways.All() {
		if g.Namespace != "" && (len(g.Selector) == 0 || !v.InNamespace(g.Namespace)) {
			continue
		}
		if v.ProxyMatches(g.Selector) {
			out = append(out, g)
		}
	}
	slices.SortStableFunc(out, func(a, b *mesh.Gateway) int { return a.Created.Compare(b.Created) })
	return out
}

// ClientCertificate is the credential that a gateway shows to backends: that of the oldest Gateway that it serves and that has one. The owners of others are told.
func (v *View) ClientCertificate() (credential string) {
	if v.Kind() != mesh.Router {
		return ""
	}
	for _, g := range v.Gateways() {
		switch {
		case g.ClientCertificate == "" || g.ClientCertificate == credential:
		case credential == "":
			credential = g.ClientCertificate
		default:
			v.Notice(mesh.Problem{Object: g.Origin, Field: "spec.tls.backend.clientCertificateRef", Code: mesh.CodeConflict,
				Message: "an older Gateway that the same workloads serve has another certificate for backends, so this one is not shown", Hint: "let workloads of its own serve it"})
		}
	}
	return credential
}
