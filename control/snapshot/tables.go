package snapshot

import (
	"cmp"
	"maps"
	"slices"

	"github.com/heddle-mesh/heddle/control/registry"
	"github.com/heddle-mesh/heddle/control/translate/gateway"
	"github.com/heddle-mesh/heddle/control/translate/istio"
	"github.com/heddle-mesh/heddle/mesh"
)

// takeServices brings the registry's changes into the tables. Endpoints and workloads touch nothing else.
func (b *Builder) takeServices(d registry.Delta) {
	for id, eps := range d.Endpoints {
		if eps == nil {
			b.now.Endpoints = b.now.Endpoints.Without(id)
		} else {
			b.now.Endpoints = b.now.Endpoints.With(id, eps)
		}
	}
	for id, w := range d.Workloads {
		old, _ := b.now.Workloads.Get(id)
		if w = keep(old, w); w == old {
			continue
		}
		if w == nil {
			b.now.Workloads = b.now.Workloads.Without(id)
		} else {
			b.now.Workloads = b.now.Workloads.With(id, w)
		}
		b.tellGates(old, w)
	}
	for id, s := range d.Services {
		old, _ := b.now.Services.Get(id)
		if s = keep(old, s); s == old {
			continue
		}
		if s == nil {
			b.now.Services = b.now.Services.Without(id)
		} else {
			b.now.Services = b.now.Services.With(id, s)
		}
		b.putHost(id, old, s)
		b.tellAddress(old)
		b.tellAddress(s)
		b.recheck(b.asked.about(id.Host))
	}
	for ref, problems := range d.Rivals {
		b.complain("rival", ref, problems)
	}
	byObject := map[mesh.Ref][]mesh.Problem{}
	for _, p := range d.Problems {
		byObject[p.Object] = append(byObject[p.Object], p)
	}
	for _, s := range d.Services {
		if s != nil {
			b.complain("address", s.Origin, byObject[s.Origin])
		}
	}
}

// foreign puts a Service before a ServiceEntry of another namespace with its host.
func foreign(s *mesh.Service) int {
	if s.Registry == "Kubernetes" {
		return 0
	}
	return 1
}

// putHost keeps the index of the namespaces that define a host: that of its Service, then those of entries, oldest first.
func (b *Builder) putHost(id mesh.ServiceID, old, s *mesh.Service) {
	ids, _ := b.now.Hosts.Get(id.Host)
	next := slices.DeleteFunc(slices.Clone(ids), func(x mesh.ServiceID) bool { return x == id })
	if s != nil {
		next = append(next, id)
		slices.SortFunc(next, func(x, y mesh.ServiceID) int {
			sx, _ := b.now.Services.Get(x)
			sy, _ := b.now.Services.Get(y)
			return cmp.Or(cmp.Compare(foreign(sx), foreign(sy)), sx.Created.Compare(sy.Created), mesh.CompareServiceID(x, y))
		})
	}
	if len(next) == 0 {
		b.now.Hosts = b.now.Hosts.Without(id.Host)
	} else {
		b.now.Hosts = b.now.Hosts.With(id.Host, next)
	}
}

func (b *Builder) putRoute(ref mesh.Ref, r *mesh.Route) {
	old, _ := b.now.Routes.Get(ref)
	b.tellPolicies(old, r)
	forMesh, atGates := map[mesh.Host][]*mesh.Route{}, map[mesh.GatewayID][]*mesh.Route{}
	if r != nil {
		b.now.Routes = b.now.Routes.With(ref, r)
		if r.Mesh {
			hosts := r.Hosts
			if len(r.Calls) > 0 { // those of its gateways are none of it
				hosts = nil
				for _, c := range r.Calls {
					hosts = append(hosts, c.Host)
				}
			}
			for _, h := range hosts {
				forMesh[h] = []*mesh.Route{r}
			}
		}
		for _, g := range r.Gateways {
			atGates[g] = []*mesh.Route{r}
		}
		for _, p := range r.Parents {
			atGates[p.Gateway] = []*mesh.Route{r}
		}
	} else {
		b.now.Routes = b.now.Routes.Without(ref)
	}
	for _, h := range b.meshRoutes.set(ref, forMesh) {
		b.rivalry.hosts[h] = struct{}{}
		b.putCalls(h)
	}
	for _, g := range b.gateRoutes.set(ref, atGates) {
		if g.Dialect == mesh.GatewayAPI { // its status counts its routes
			b.told[gatewayRef(g)] = struct{}{}
			b.rivalry.gates[g] = struct{}{}
		}
	}
}

// putCalls keeps the calls to a host that its routes of the Gateway API for requests are about.
func (b *Builder) putCalls(h mesh.Host) {
	routes, _ := b.now.MeshRoutes.Get(h)
	var calls []mesh.Call
	for _, r := range routes {
		for _, c := range r.Calls {
			if len(r.HTTP) > 0 && c.Host == h && !slices.Contains(calls, c) {
				calls = append(calls, c)
			}
		}
	}
	switch old, _ := b.now.Called.Get(h); {
	case slices.Equal(old, calls):
	case len(calls) == 0:
		b.now.Called = b.now.Called.Without(h)
	default:
		b.now.Called = b.now.Called.With(h, calls)
	}
}

// putBackendTLS puts how services are to be called under each.
func (b *Builder) putBackendTLS(ref mesh.Ref, old, now []*mesh.BackendTLS) {
	if len(old) == 0 && len(now) == 0 {
		return
	}
	under := map[mesh.ServiceID][]*mesh.BackendTLS{}
	for _, t := range now {
		under[t.Service] = append(under[t.Service], t)
	}
	b.backendTLS.set(ref, under)
}

// tellPolicies marks the status of the policies about what a route led to or leads to now: it names the route's gateways.
func (b *Builder) tellPolicies(routes ...*mesh.Route) {
	seen := map[mesh.Namespace]bool{}
	for _, r := range routes {
		if r == nil || len(r.Parents) == 0 {
			continue
		}
		r.Backed(func(x *mesh.Backend) bool {
			if ns := x.Service.Namespace; !seen[ns] {
				seen[ns] = true
				for policy := range b.listed[listKey{"BackendTLSPolicy", ns}] {
					b.told[policy] = struct{}{}
				}
			}
			return false
		})
	}
}

// rivalry remembers what several objects claim and where that changed in a batch, so that many objects that claim one thing are compared once, and not once for each.
type rivalry struct {
	hosts     map[mesh.Host]struct{}      // of VirtualServices
	rules     map[mesh.Host]struct{}      // of DestinationRules
	sidecars  map[mesh.Namespace]struct{} // with Sidecars
	telemetry map[mesh.Namespace]struct{} // with Telemetries
	gates     map[mesh.GatewayID]struct{} // of the Gateway API
	compared  int                         // how many claims were compared, ever
}

// tellConflicts tells the objects that claim the same thing about each other, and takes back what is no longer so.
func (b *Builder) tellConflicts() {
	for h := range b.rivalry.hosts {
		routes, _ := b.now.MeshRoutes.Get(h)
		b.rivalry.compared += len(routes)
		b.tell("host "+string(h), istio.HostConflicts(h, routes))
	}
	for h := range b.rivalry.rules {
		rules, _ := b.now.Traffic.Get(h)
		b.rivalry.compared += len(rules)
		b.tell("rules for "+string(h), istio.TrafficConflicts(h, rules))
	}
	for ns := range b.rivalry.sidecars {
		list, _ := b.now.Sidecars.Get(ns)
		b.rivalry.compared += len(list)
		b.tell("sidecars of "+string(ns), istio.SidecarConflicts(list))
	}
	for ns := range b.rivalry.telemetry {
		list, _ := b.now.Telemetry.Get(ns)
		b.rivalry.compared += len(list)
		b.tell("telemetry of "+string(ns), istio.TelemetryConflicts(list))
	}
	for g := range b.rivalry.gates {
		routes, _ := b.now.GateRoutes.Get(g)
		b.rivalry.compared += len(routes)
		b.tell("routes of "+gatewayRef(g).String(), gateway.RouteConflicts(g, routes))
	}
	clear(b.rivalry.hosts)
	clear(b.rivalry.rules)
	clear(b.rivalry.sidecars)
	clear(b.rivalry.telemetry)
	clear(b.rivalry.gates)
}

// tell tells objects what a source says of them now, and takes back what it no longer says.
func (b *Builder) tell(source string, problems []mesh.Problem) {
	now := map[mesh.Ref][]mesh.Problem{}
	for _, p := range problems {
		now[p.Object] = append(now[p.Object], p)
	}
	for ref := range maps.Clone(b.from[source]) {
		if now[ref] == nil {
			b.complain(source, ref, nil)
		}
	}
	for ref, ps := range now {
		b.complain(source, ref, ps)
	}
}

func (b *Builder) putTraffic(ref mesh.Ref, t *mesh.Traffic) {
	under := map[mesh.Host][]*mesh.Traffic{}
	if t != nil {
		under[t.Host] = []*mesh.Traffic{t}
	}
	for _, h := range b.traffic.set(ref, under) {
		b.rivalry.rules[h] = struct{}{}
		b.recheck(b.asked.about(h))
	}
}

func (b *Builder) putSidecar(ref mesh.Ref, s *mesh.SidecarScope) {
	for _, ns := range b.sidecars.set(ref, one(s, ref.Namespace)) {
		b.rivalry.sidecars[ns] = struct{}{}
	}
}

func (b *Builder) putTelemetry(ref mesh.Ref, t *mesh.Telemetry) {
	for _, ns := range b.telemetry.set(ref, one(t, ref.Namespace)) {
		b.rivalry.telemetry[ns] = struct{}{}
	}
}

func (b *Builder) putGateway(old, g *mesh.Gateway) {
	for _, x := range []*mesh.Gateway{old, g} {
		if x == nil {
			continue
		}
		if b.now.Gateways = b.now.Gateways.Without(x.ID); x == g {
			b.now.Gateways = b.now.Gateways.With(x.ID, g)
		}
	}
	for _, x := range []*mesh.Gateway{old, g} {
		if x != nil {
			b.recheck([]question{{kind: askGateway, gateway: x.ID}})
			if x.ID.Dialect == mesh.GatewayAPI { // its status says who serves it
				b.told[gatewayRef(x.ID)] = struct{}{}
			}
		}
	}
}

// complain sets what one source of problems says about an object; nil takes it back.
func (b *Builder) complain(source string, ref mesh.Ref, ps []mesh.Problem) {
	if slices.Equal(b.problems[ref][source], ps) {
		return
	}
	if len(ps) == 0 {
		cut(b.problems, ref, source)
		cut(b.from, source, ref)
	} else {
		put(b.problems, ref, source, ps)
		put(b.from, source, ref, struct{}{})
	}
	b.told[ref] = struct{}{}
}

// Problems lists what is wrong with an object: of decoding and translation first, then what follows from others.
func (b *Builder) Problems(ref mesh.Ref) []mesh.Problem {
	by := b.problems[ref]
	out := slices.Clone(by["object"])
	for _, source := range slices.Sorted(maps.Keys(by)) {
		if source != "object" {
			out = append(out, by[source]...)
		}
	}
	return out
}

func put[A, B comparable, V any](m map[A]map[B]V, a A, b B, v V) {
	if m[a] == nil {
		m[a] = map[B]V{}
	}
	m[a][b] = v
}

func cut[A, B comparable, V any](m map[A]map[B]V, a A, b B) {
	if delete(m[a], b); len(m[a]) == 0 {
		delete(m, a)
	}
}
