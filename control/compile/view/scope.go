package view

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/heddle-mesh/heddle/mesh"
)

// reach is how a proxy comes to know a service.
type reach uint8

// The ways: a route that it knows leads there, or a provider of MeshConfig is there, or its Sidecar imports it (or it has none). Only what is imported is reached by its own name.
const (
	unknown reach = iota
	led
	imported
)

// The questions about a proxy's Sidecar. Who has none is asked nothing but governed. scopeOf has as many answers as there are Sidecars; the others are asked of one service or
// route, so that proxies with different Sidecars share what both see.
type (
	governed struct{}
	scopeOf  struct{}
	reaches  struct{ service mesh.ServiceID }
	follows  struct{ route mesh.Ref }
	listens  struct {
		service mesh.ServiceID
		port    uint16
	}
	leaving struct{}
	arrives struct{}
	fronted struct{ route string }
	dialled struct{ port uint16 }
)

func (governed) Answer(s *Source, p *mesh.Proxy) any { return governing(s, p) != nil }

func (scopeOf) Answer(s *Source, p *mesh.Proxy) any {
	if sc := governing(s, p); sc != nil {
		return sc.Origin
	}
	return mesh.Ref{}
}

func (q reaches) Answer(s *Source, p *mesh.Proxy) any {
	return scopeFor(s, p).reach(s, q.service, func(vis mesh.Visibility, owner mesh.Namespace) bool { return vis.From(owner, p.Namespace) })
}

func (q follows) Answer(s *Source, p *mesh.Proxy) any {
	r, ok := s.Routes.Get(q.route)
	return ok && scopeFor(s, p).follows(r)
}

func (q listens) Answer(s *Source, p *mesh.Proxy) any {
	return scopeFor(s, p).takes(q.service, q.port)
}

func (q fronted) Answer(s *Source, p *mesh.Proxy) any {
	sc := governing(s, p)
	return sc != nil && slices.ContainsFunc(sc.Egress, func(e mesh.EgressListener) bool { return isFront(&e) && frontRoute(&e) == q.route })
}

func (q dialled) Answer(s *Source, p *mesh.Proxy) any {
	e := scopeFor(s, p).At(q.port)
	return e != nil && e.Port != 0 && e.Own() && (e.Capture == mesh.CaptureNone || p.Capture == "NONE")
}

// arrives answers with a Sidecar only if it says something of what arrives.
func (arrives) Answer(s *Source, p *mesh.Proxy) any {
	if sc := governing(s, p); sc != nil && (len(sc.Ingress) > 0 || sc.Pool != nil) {
		return sc.Origin
	}
	return mesh.Ref{}
}

// way is what becomes of traffic to what is not known.
type way struct {
	closed  bool
	cluster string // it goes there; "": where the client wanted
	own     bool   // the Sidecar says so, not the mesh
}

func (leaving) Answer(s *Source, p *mesh.Proxy) any {
	out := way{closed: s.Settings.RegistryOnly}
	sc := governing(s, p)
	if sc == nil || sc.Outbound == nil {
		return out
	}
	out.own, out.closed = true, sc.Outbound.RegistryOnly
	if b := sc.Outbound.Proxy; b != nil {
		out.cluster = ClusterName(b.Port, b.Subset, b.Host)
	}
	return out
}

// Grounds are the Sidecars of the proxy's namespace and the mesh's.
func (governed) Grounds(s *Source, p *mesh.Proxy) []mesh.Key { return sidecarsOf(s, p) }

// Grounds are the Sidecars.
func (scopeOf) Grounds(s *Source, p *mesh.Proxy) []mesh.Key { return sidecarsOf(s, p) }

// Grounds are the Sidecars.
func (q fronted) Grounds(s *Source, p *mesh.Proxy) []mesh.Key { return sidecarsOf(s, p) }

// Grounds are the Sidecars.
func (q dialled) Grounds(s *Source, p *mesh.Proxy) []mesh.Key { return sidecarsOf(s, p) }

// Grounds are the Sidecars.
func (arrives) Grounds(s *Source, p *mesh.Proxy) []mesh.Key { return sidecarsOf(s, p) }

// Grounds are the Sidecars, the routes that lead to the service, and the providers.
func (q reaches) Grounds(s *Source, p *mesh.Proxy) []mesh.Key {
	return append(sidecarsOf(s, p), leadsKey(q.service.Host), mesh.Key{Noun: mesh.OfSettings})
}

// Grounds are the Sidecars and the route.
func (q follows) Grounds(s *Source, p *mesh.Proxy) []mesh.Key {
	return append(sidecarsOf(s, p), mesh.Key{Noun: mesh.OfRoutes, Name: q.route})
}

// Grounds are the Sidecars.
func (q listens) Grounds(s *Source, p *mesh.Proxy) []mesh.Key { return sidecarsOf(s, p) }

// Grounds are the Sidecars and the mesh's own setting.
func (leaving) Grounds(s *Source, p *mesh.Proxy) []mesh.Key {
	return append(sidecarsOf(s, p), mesh.Key{Noun: mesh.OfSettings})
}

func sidecarsOf(s *Source, p *mesh.Proxy) []mesh.Key {
	return []mesh.Key{{Noun: mesh.OfSidecars, Name: p.Namespace}, {Noun: mesh.OfSidecars, Name: s.Settings.RootNamespace}}
}

// governing is the Sidecar that a proxy obeys: the oldest of its namespace that selects it, else the oldest there without a selector, else the mesh's. Gateways have none.
func governing(s *Source, p *mesh.Proxy) *mesh.SidecarScope {
	if p.Kind == mesh.Router {
		return nil
	}
	list, _ := s.Sidecars.Get(p.Namespace)
	for _, sc := range list {
		if sc.Selector.Selects(p.Labels) {
			return sc
		}
	}
	list, _ = s.Sidecars.Get(s.Settings.RootNamespace)
	if i := slices.IndexFunc(list, func(sc *mesh.SidecarScope) bool { return len(sc.Selector) == 0 }); i >= 0 {
		return list[i]
	}
	return nil
}

// Scope is a Sidecar as a proxy obeys it; the zero Scope knows everything.
type Scope struct {
	*mesh.SidecarScope
	here func(mesh.Namespace) bool // whether a namespace is the proxy's
}

func scopeFor(s *Source, p *mesh.Proxy) Scope {
	return Scope{governing(s, p), func(ns mesh.Namespace) bool { return ns == p.Namespace }}
}

// Open says that nothing is left out.
func (sc Scope) Open() bool { return sc.SidecarScope == nil || len(sc.Egress) == 0 }

// At is the egress listener for a port, nil when there is none: one that names it, else the one that names none.
func (sc Scope) At(port uint16) *mesh.EgressListener {
	if sc.Open() {
		return nil
	}
	for i := range sc.Egress {
		if e := &sc.Egress[i]; e.Bind.Kind() != mesh.AddrUnix && (e.Port == port && !e.Proxy || e.Port == 0) {
			return e
		}
	}
	return nil
}

// listens says whether the listener for a port takes in what is for a service.
func (sc Scope) listens(id mesh.ServiceID, port uint16) bool {
	if sc.Open() {
		return true
	}
	e := sc.At(port)
	return e != nil && mesh.Imports(e.Hosts, id, sc.here)
}

// Taking is how requests to a port of a service are taken by the service's name.
type Taking struct {
	OK       bool
	Given    bool          // the listener says the protocol
	Protocol mesh.Protocol // if Given
}

func (sc Scope) takes(id mesh.ServiceID, port uint16) Taking {
	t := Taking{OK: sc.listens(id, port)}
	if e := sc.At(port); !sc.Open() && e != nil && e.Port != 0 {
		t.Given, t.Protocol = true, e.Protocol
	}
	return t
}

// importsAt says whether any listener takes in what is for a port of a service. That of a unix socket, or of a proxy for requests, has every port.
func (sc Scope) importsAt(id mesh.ServiceID, port uint16) bool {
	return slices.ContainsFunc(sc.Egress, func(e mesh.EgressListener) bool {
		return (e.Port == port || e.Port == 0 || e.Proxy) && mesh.Imports(e.Hosts, id, sc.here)
	})
}

func (sc Scope) reach(s *Source, id mesh.ServiceID, visible func(mesh.Visibility, mesh.Namespace) bool) reach {
	if sc.Open() || slices.ContainsFunc(sc.Egress, func(e mesh.EgressListener) bool { return mesh.Imports(e.Hosts, id, sc.here) }) {
		return imported
	}
	leads, _ := s.Leads.Get(id.Host)
	if slices.ContainsFunc(leads, func(l lead) bool { return l.counts(sc, visible) }) || len(s.Settings.Reports(id.Host)) > 0 {
		return led
	}
	return unknown
}

func (sc Scope) follows(r *mesh.Route) bool {
	return sc.Open() || slices.ContainsFunc(sc.Egress, func(e mesh.EgressListener) bool { return mesh.ImportsRoute(e.Hosts, r, sc.here) })
}

// Scope is the Sidecar of the proxy. Compilers of one resource need not ask: what they read of the mesh is what the proxy may see.
func (v *View) Scope() Scope {
	if v.scope == nil {
		v.scope = &Scope{}
		if v.scopes() {
			v.scope = v.obeyed(v.r.Ask(scopeOf{}).(mesh.Ref))
		}
	}
	return *v.scope
}

func (v *View) obeyed(ref mesh.Ref) *Scope {
	switch sc := v.sidecar(ref); {
	case sc == nil:
		return &Scope{}
	case ref.Namespace == v.Settings().RootNamespace:
		return &Scope{sc, v.InNamespace}
	default:
		return &Scope{sc, func(ns mesh.Namespace) bool { return ns == ref.Namespace }}
	}
}

// arrival is the proxy's Sidecar, if it says something of what arrives.
func (v *View) arrival() *mesh.SidecarScope {
	if !v.scopes() {
		return nil
	}
	return v.sidecar(v.r.Ask(arrives{}).(mesh.Ref))
}

// ServesWith says whether the proxy's Sidecar names a credential (by its name in SDS) for one of the workload's ports.
func (v *View) ServesWith(credential string) bool {
	sc := v.arrival()
	named := func(name string) bool { return name != "" && v.CredentialName(name) == credential }
	return sc != nil && slices.ContainsFunc(sc.Ingress, func(l mesh.IngressListener) bool {
		return l.TLS != nil && l.Denied == "" && (named(l.TLS.Credential) || named(l.TLS.CA) || slices.ContainsFunc(l.TLS.More, named))
	})
}

// sidecar is a Sidecar by name, nil for none.
func (v *View) sidecar(ref mesh.Ref) *mesh.SidecarScope {
	list, _ := read(v, mesh.OfSidecars, v.s.Sidecars, ref.Namespace)
	i := slices.IndexFunc(list, func(s *mesh.SidecarScope) bool { return s.Origin == ref })
	if i < 0 {
		return nil
	}
	v.From(ref)
	return list[i]
}

// scopes says whether the proxy obeys a Sidecar. Nobody asks in a mesh without any.
func (v *View) scopes() bool {
	return v.shape().sidecars && v.r.Ask(governed{}).(bool)
}

// reach says how the proxy knows a service.
func (v *View) reach(id mesh.ServiceID) reach {
	switch {
	case v.scope != nil:
		if !v.scope.Open() {
			v.r.Read(leadsKey(id.Host))
			v.Settings() // the providers
		}
		return v.scope.reach(v.s, id, v.Visible)
	case !v.scopes():
		return imported
	}
	return v.r.Ask(reaches{id}).(reach)
}

// Takes says whether and how requests to a port of a service are taken by the service's name.
func (v *View) Takes(id mesh.ServiceID, port uint16) Taking {
	switch {
	case v.scope != nil:
		return v.scope.takes(id, port)
	case !v.scopes():
		return Taking{OK: true}
	}
	return v.r.Ask(listens{id, port}).(Taking)
}

// Front is an egress listener that requests to all that it imports may come to, whatever their port: a unix socket, or a proxy for clients that ask one.
type Front struct {
	*mesh.EgressListener
	v *View
}

// Name is that of its listener, and Route that of its route configuration.
func (f Front) Name() string {
	if f.Bind.Kind() == mesh.AddrUnix {
		return f.Bind.String() + "_0"
	}
	return ListenerName(f.At(), f.Port)
}

// Route is the name of its route configuration.
func (f Front) Route() string { return frontRoute(f.EgressListener) }

func isFront(e *mesh.EgressListener) bool { return e.Bind.Kind() == mesh.AddrUnix || e.Proxy }

func frontRoute(e *mesh.EgressListener) string {
	if e.Bind.Kind() == mesh.AddrUnix {
		return e.Bind.String()
	}
	return strconv.Itoa(int(e.Port))
}

// OnlyDialled says whether clients dial the listener of a port, so that its connections have no other destination that they could go to.
func (v *View) OnlyDialled(port uint16) bool { return v.scopes() && v.r.Ask(dialled{port}).(bool) }

// FrontOf is the front whose requests a route configuration is for, nil for none.
func (v *View) FrontOf(route string) *Front {
	if !v.scopes() || !v.r.Ask(fronted{route}).(bool) {
		return nil
	}
	for _, f := range v.Fronts() {
		if f.Route() == route && (f.Proxy || f.Protocol.IsHTTP()) {
			return &f
		}
	}
	return nil
}

// At is the address where it listens, unless it is a unix socket.
func (f Front) At() netip.Addr { return f.v.bound(f.EgressListener) }

// Imports says whether a service is reached there.
func (f Front) Imports(id mesh.ServiceID) bool { return mesh.Imports(f.Hosts, id, f.v.Scope().here) }

// Fronts are those of the proxy's Sidecar.
func (v *View) Fronts() (out []Front) {
	sc := v.Scope()
	if sc.Open() {
		return nil
	}
	for i := range sc.Egress {
		if e := &sc.Egress[i]; isFront(e) {
			out = append(out, Front{e, v})
		}
	}
	return out
}

// bound is the address of a listener that has one of its own.
func (v *View) bound(e *mesh.EgressListener) netip.Addr {
	if e.Bind.IsZero() {
		return v.Loopback()
	}
	return e.Bind.IP()
}

// follows says whether the proxy obeys a route for sidecars.
func (v *View) follows(r *mesh.Route) bool {
	switch {
	case v.scope != nil:
		return v.scope.follows(r)
	case !v.scopes():
		return true
	}
	return v.r.Ask(follows{r.Origin}).(bool)
}

// Unknown is what becomes of traffic to what the proxy does not know: the cluster that it goes to, or that it is closed.
func (v *View) Unknown() (cluster string, closed bool) {
	to := way{closed: v.Settings().RegistryOnly}
	if v.scopes() {
		to = v.r.Ask(leaving{}).(way)
	}
	switch {
	case to.closed:
		return BlackHoleCluster, true
	case to.cluster == "":
		return PassthroughCluster, false
	}
	return to.cluster, false
}

// UnknownRequests is what becomes of requests to hosts that the proxy does not know: as Unknown, but that they may go to the host that they name. A proxy that cannot look it
// up sends them where the client wanted, unless TLS was to be made for them.
func (v *View) UnknownRequests() (cluster string, closed bool) {
	s := v.Settings()
	switch cluster, closed = v.Unknown(); {
	case cluster != PassthroughCluster || !v.mayNameUnknown():
	case v.Can(mesh.FeatureClientNames):
		return NamesCluster, false
	default:
		v.Notice(mesh.Problem{
			Object: mesh.Ref{Kind: "MeshConfig", Name: "outboundTrafficPolicy"}, Field: "outboundTrafficPolicy.mode", Code: mesh.CodeNotEnforced,
			Message: "some connected proxies cannot look up the names that clients give", Hint: "upgrade them",
		})
		if s.UnknownTLS != nil {
			return BlackHoleCluster, true
		}
	}
	return cluster, closed
}

// NamesUnknown says whether the proxy looks up hosts that it does not know.
func (v *View) NamesUnknown() bool { return v.mayNameUnknown() && v.Can(mesh.FeatureClientNames) }

// mayNameUnknown says whether it should. A Sidecar with a policy of its own cannot ask for it, as in Istio.
func (v *View) mayNameUnknown() bool {
	if !v.Settings().NamesUnknown || v.Kind() != mesh.Sidecar {
		return false
	}
	return !v.scopes() || !v.r.Ask(leaving{}).(way).own
}
