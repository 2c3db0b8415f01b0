package registry

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/heddle-mesh/heddle/control/health"
	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
)

// Flush computes what the batch touched. Services are taken in order, so that addresses given do not depend on the order of events.
func (x *Index) Flush() Delta {
	d := Delta{Services: map[mesh.ServiceID]*mesh.Service{}, Endpoints: map[mesh.ServiceID]*mesh.EndpointSet{}, Workloads: map[mesh.WorkloadID]*mesh.Workload{}, Rivals: map[mesh.Ref][]mesh.Problem{}}
	x.adopt()
	for _, id := range slices.SortedFunc(maps.Keys(x.services), mesh.CompareServiceID) {
		s, problem := x.service(id)
		if d.Services[id] = s; problem != nil {
			d.Problems = append(d.Problems, *problem)
		}
		for _, def := range x.byID[id] {
			if _, done := d.Rivals[def.Origin]; !done {
				d.Rivals[def.Origin] = x.rivals(def)
			}
		}
	}
	for ref := range x.dropped {
		if _, done := d.Rivals[ref]; !done {
			d.Rivals[ref] = nil
		}
	}
	clear(x.dropped)
	for id, instances := range x.endpoints {
		e := x.changed(id, instances)
		if old := x.given[id]; e != nil && old != nil && slices.Equal(old.Endpoints, e.Endpoints) {
			continue
		}
		if e == nil {
			delete(x.given, id)
		} else {
			x.given[id] = e
		}
		d.Endpoints[id] = e
	}
	for id := range x.workloads {
		d.Workloads[id] = x.workload(id)
	}
	clear(x.services)
	clear(x.endpoints)
	clear(x.stood)
	clear(x.workloads)
	return d
}

// first is the definition that counts for a service, with its noun.
func (x *Index) first(id mesh.ServiceID) (*Definition, *mesh.Service) {
	for _, d := range x.byID[id] {
		for _, s := range d.Services {
			if s.ID == id {
				return d, s
			}
		}
	}
	return nil, nil
}

// rivals says which services of a definition another one defines that goes before it.
func (x *Index) rivals(d *Definition) (out []mesh.Problem) {
	for i, s := range d.Services {
		counts, _ := x.first(s.ID)
		if counts == d {
			continue
		}
		why := "is older"
		if rank(counts) < rank(d) {
			why = "is a Service"
		}
		out = append(out, mesh.Problem{Object: d.Origin, Field: fmt.Sprintf("spec.hosts[%d]", i), Code: mesh.CodeConflict,
			Message: fmt.Sprintf("%s defines host %s too and %s, so this object has no effect for it", counts.Origin, s.ID.Host, why), Hint: "remove the host from one of them"})
	}
	return out
}

// adopt takes the addresses that objects have in their status, before any others are given: everybody reads those.
func (x *Index) adopt() {
	if x.opts.Addresses == nil {
		return
	}
	for _, id := range slices.SortedFunc(maps.Keys(x.services), mesh.CompareServiceID) {
		d, s := x.first(id)
		if s == nil || !wantsAddress(s) || len(d.Written[id]) == 0 {
			continue
		}
		for _, loser := range x.opts.Addresses.Adopt(id.String(), d.Written[id]) {
			if other, known := x.addressed[loser]; known {
				x.services.add(other)
			}
		}
	}
}

func (x *Index) service(id mesh.ServiceID) (*mesh.Service, *mesh.Problem) {
	_, s := x.first(id)
	if x.opts.Addresses == nil {
		return s, nil
	}
	if s == nil || !wantsAddress(s) {
		x.opts.Addresses.Release(id.String())
		delete(x.addressed, id.String())
		return s, nil
	}
	ips, err := x.opts.Addresses.Give(id.String())
	if err != nil {
		return s, &mesh.Problem{Object: s.Origin, Code: mesh.CodeUnsupported, Message: "the service has no address and none can be given: " + err.Error()}
	}
	x.addressed[id.String()] = id
	with := *s
	with.Addresses, with.AutoAddress = ips, true
	return &with, nil
}

// wantsAddress says whether a service needs an address to be told apart on the wire. Services that forward to the address dialled need none, and a
// wildcard has no one name that could be answered with it.
func wantsAddress(s *mesh.Service) bool {
	return !s.Unaddressed && len(s.Addresses) == 0 && len(s.Prefixes) == 0 && !s.Headless && s.Alias == "" && s.Resolution != mesh.PassthroughDest && !s.ID.Host.IsWildcard()
}

func (x *Index) endpointSet(id mesh.ServiceID) *mesh.EndpointSet {
	d, s := x.first(id)
	if s == nil {
		return nil
	}
	var list []*mesh.Endpoint
	if d.Slices {
		for _, sl := range x.ofService[id] {
			list = x.sliceEndpoints(list, d, s, sl)
		}
	}
	list = append(list, x.inline(d, s)...)
	if len(d.Selector) > 0 {
		for _, in := range x.within[id.Namespace] {
			if d.selects(in) {
				list = append(list, x.instanceEndpoint(d, s, in))
			}
		}
	}
	slices.SortFunc(list, compareEndpoints)
	all := len(list)
	if list = slices.CompactFunc(list, double); len(list) < all {
		x.doubled.add(id)
	} else {
		delete(x.doubled, id)
	}
	return &mesh.EndpointSet{Service: id, Endpoints: x.keep(id, list)}
}

// keep takes the endpoint of the last result where nothing changed, so that what was made from it can be kept too.
func (x *Index) keep(id mesh.ServiceID, list []*mesh.Endpoint) []*mesh.Endpoint {
	old := x.given[id]
	if old == nil {
		return list
	}
	i := 0
	for n, e := range list {
		for i < len(old.Endpoints) && compareEndpoints(old.Endpoints[i], e) < 0 {
			i++
		}
		if i < len(old.Endpoints) && sameEndpoint(old.Endpoints[i], e) {
			list[n] = old.Endpoints[i]
		}
	}
	return list
}

// compareEndpoints looks at ports, for which it makes lists, only where nothing else differs.
func compareEndpoints(a, b *mesh.Endpoint) int {
	if c := compareAddresses(a.Address, b.Address); c != 0 {
		return c
	}
	if c := mesh.CompareWorkloadID(a.Workload, b.Workload); c != 0 {
		return c
	}
	return slices.Compare(portList(a), portList(b))
}

func compareAddresses(a, b mesh.Address) int {
	if c := cmp.Or(cmp.Compare(a.Kind(), b.Kind()), a.IP().Compare(b.IP())); c != 0 {
		return c
	}
	return cmp.Compare(a.Text(), b.Text())
}

func portList(e *mesh.Endpoint) []uint16 { return slices.Sorted(maps.Values(e.Ports)) }

func sameEndpoint(x, y *mesh.Endpoint) bool {
	return x.Address == y.Address && x.Workload == y.Workload && x.Identity == y.Identity && x.Cluster == y.Cluster && x.Network == y.Network &&
		x.Locality == y.Locality && x.Weight == y.Weight && x.Health == y.Health && x.MTLS == y.MTLS && x.Tunnel == y.Tunnel && x.Hostname == y.Hostname &&
		x.App == y.App && x.Version == y.Version && x.CanonicalService == y.CanonicalService && x.CanonicalRevision == y.CanonicalRevision &&
		x.WorkloadName == y.WorkloadName && x.Node == y.Node && maps.Equal(x.Ports, y.Ports) && maps.Equal(x.Labels, y.Labels)
}

func (x *Index) sliceEndpoints(list []*mesh.Endpoint, d *Definition, s *mesh.Service, sl *Slice) []*mesh.Endpoint {
	for i := range sl.Endpoints {
		e := &sl.Endpoints[i]
		for _, ip := range e.Addresses {
			ep := &mesh.Endpoint{Address: mesh.IPAddress(ip), Ports: sl.Ports, Cluster: x.opts.Cluster, Network: x.opts.Network, Health: e.Health, Hostname: e.Hostname,
				Locality: mesh.Locality{Zone: e.Zone}, Node: e.Node}
			if d.Unready {
				ep.Health = mesh.Healthy
			}
			pod := x.instances[mesh.WorkloadID{Cluster: x.opts.Cluster, Namespace: s.ID.Namespace, Kind: KindPod, Name: e.Pod}]
			if pod == nil || e.Pod == "" {
				pod = x.instances[x.podAt[ip]]
			}
			if pod != nil {
				x.describe(ep, pod)
			}
			list = append(list, ep)
		}
	}
	return list
}

// inline are the endpoints that the definition lists itself, completed by the registry's place. Without any, a host with DNS resolution is its own
// endpoint (ServiceEntry.hosts, note 1).
func (x *Index) inline(d *Definition, s *mesh.Service) []*mesh.Endpoint {
	list := d.Endpoints
	if dns := s.Resolution == mesh.DNS || s.Resolution == mesh.DNSRoundRobin; dns && len(list) == 0 && len(d.Selector) == 0 && !d.Slices {
		if a, err := mesh.ParseAddress(string(s.ID.Host)); err == nil {
			list = []*mesh.Endpoint{{Address: a}}
		}
	}
	out := make([]*mesh.Endpoint, 0, len(list))
	for _, e := range list {
		c := *e
		c.Cluster, c.Network = cmp.Or(c.Cluster, x.opts.Cluster), cmp.Or(c.Network, x.opts.Network)
		c.Ports = make(map[string]uint16, len(s.Ports))
		for _, p := range s.Ports {
			c.Ports[p.Name] = cmp.Or(e.Ports[p.Name], p.TargetPort, p.Number)
		}
		out = append(out, &c)
	}
	return out
}

func (x *Index) instanceEndpoint(d *Definition, s *mesh.Service, in *Instance) *mesh.Endpoint {
	e := &mesh.Endpoint{Address: in.Address, Ports: x.ports(d, s, in), Health: x.health(in)}
	x.describe(e, in)
	if d.Unready && in.NotReady && !in.Failing {
		e.Health = mesh.Healthy
	}
	return e
}

// ports tells where each port of the service goes on an instance. A WorkloadEntry may say it by the service port's name; a named target that the
// instance does not have leaves the port out.
func (x *Index) ports(d *Definition, s *mesh.Service, in *Instance) map[string]uint16 {
	out := make(map[string]uint16, len(s.Ports))
	for _, p := range s.Ports {
		t := d.Targets[p.Name]
		switch own, ok := in.Ports[p.Name]; {
		case ok && in.ID.Kind == KindWorkloadEntry:
			out[p.Name] = own
		case t.Name != "":
			if n, ok := in.Ports[t.Name]; ok {
				out[p.Name] = n
			}
		default:
			out[p.Name] = cmp.Or(t.Number, p.TargetPort, p.Number)
		}
	}
	return out
}

// describe says of an endpoint what the instance behind it is.
func (x *Index) describe(e *mesh.Endpoint, in *Instance) {
	e.Workload, e.Labels, e.Identity = in.ID, in.Labels, x.identity(in)
	e.Cluster, e.Network = cmp.Or(in.Cluster, x.opts.Cluster), cmp.Or(in.Network, x.opts.Network)
	if l := x.locality(in); l != (mesh.Locality{}) {
		e.Locality = l
	}
	e.Node = cmp.Or(in.Node, e.Node)
	e.Weight, e.MTLS, e.Tunnel = in.Weight, in.MTLS, in.Tunnel
	l := in.Labels
	e.App, e.Version, e.WorkloadName = l["app"], l["version"], in.Name
	e.CanonicalService = cmp.Or(l["service.istio.io/canonical-name"], l["app.kubernetes.io/name"], l["app"], in.Name)
	e.CanonicalRevision = cmp.Or(l["service.istio.io/canonical-revision"], l["app.kubernetes.io/version"], l["version"], "latest")
}

func (x *Index) identity(in *Instance) identity.ID {
	if in.ServiceAccount == "" {
		return identity.ID{}
	}
	return identity.NewID(x.opts.TrustDomain, string(in.ID.Namespace), in.ServiceAccount)
}

func (x *Index) locality(in *Instance) mesh.Locality {
	if in.Locality != (mesh.Locality{}) {
		return in.Locality
	}
	return x.nodes[in.Node]
}

// health of a selected instance. One with a proxy lives with its stream; one without is only unhealthy when a stream that it had broke.
func (x *Index) health(in *Instance) mesh.Health {
	if in.NotReady || in.Failing {
		return mesh.Unhealthy
	}
	if x.opts.Health == nil || in.ID.Kind != KindWorkloadEntry {
		return mesh.Healthy
	}
	switch s := x.opts.Health(health.Workload{Namespace: string(in.ID.Namespace), Name: in.ID.Name}); {
	case s == health.Gone, s == health.Unknown && in.Proxied:
		return mesh.Unhealthy
	}
	return mesh.Healthy
}

func (x *Index) workload(id mesh.WorkloadID) *mesh.Workload {
	in := x.instances[id]
	if in == nil {
		return nil
	}
	w := &mesh.Workload{ID: id, Addresses: slices.Clone(in.Addresses), Labels: in.Labels, ServiceAccount: in.ServiceAccount, Identity: x.identity(in),
		Network: cmp.Or(in.Network, x.opts.Network), Locality: x.locality(in), Node: in.Node, Name: in.Name, Origin: in.Origin}
	slices.SortFunc(w.Addresses, netip.Addr.Compare)
	for _, d := range x.selecting[id.Namespace] {
		if !d.Selector.Selects(in.Labels) {
			continue
		}
		for _, s := range d.Services {
			// Of several objects that define a service only the first one counts.
			if counts, _ := x.first(s.ID); counts == d {
				w.Services = append(w.Services, mesh.WorkloadService{Service: s.ID, Ports: x.ports(d, s, in)})
			}
		}
	}
	slices.SortFunc(w.Services, func(a, b mesh.WorkloadService) int { return mesh.CompareServiceID(a.Service, b.Service) })
	return w
}
