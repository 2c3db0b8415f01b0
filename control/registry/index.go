package registry

import (
	"net/netip"
	"slices"

	"github.com/heddle-mesh/heddle/control/health"
	"github.com/heddle-mesh/heddle/mesh"
)

type set[K comparable] map[K]struct{}

func (s set[K]) add(k K) { s[k] = struct{}{} }

// link is why a service's endpoints depend on a Pod: a slice names the Pod or one of its addresses.
type link struct {
	namespace mesh.Namespace
	pod       string
	ip        netip.Addr
}

// Index holds what the sources said, and who depends on whom.
type Index struct {
	opts        Options
	definitions map[mesh.Ref]*Definition
	byID        map[mesh.ServiceID][]*Definition // oldest first
	selecting   map[mesh.Namespace]map[mesh.Ref]*Definition
	slices      map[mesh.Ref]*Slice
	ofService   map[mesh.ServiceID]map[mesh.Ref]*Slice
	links       map[link]map[mesh.ServiceID]int
	instances   map[mesh.WorkloadID]*Instance
	within      map[mesh.Namespace]map[mesh.WorkloadID]*Instance
	podAt       map[netip.Addr]mesh.WorkloadID
	onNode      map[string]set[mesh.WorkloadID]
	nodes       map[string]mesh.Locality

	services  set[mesh.ServiceID] // to be computed again
	endpoints touched
	workloads set[mesh.WorkloadID]
	stood     map[mesh.WorkloadID]mesh.Address     // where instances that are touched were at the last result
	dropped   set[mesh.Ref]                        // objects whose definition was taken out, perhaps for another one
	addressed map[string]mesh.ServiceID            // services that hold given addresses, by the name under which they do
	given     map[mesh.ServiceID]*mesh.EndpointSet // the last result, so that unchanged endpoints keep their pointer
	doubled   set[mesh.ServiceID]                  // services of which the last result leaves endpoints out, because others are the same
}

// New makes an empty index.
func New(opts Options) *Index {
	return &Index{
		opts: opts, definitions: map[mesh.Ref]*Definition{}, byID: map[mesh.ServiceID][]*Definition{},
		selecting: map[mesh.Namespace]map[mesh.Ref]*Definition{}, slices: map[mesh.Ref]*Slice{}, ofService: map[mesh.ServiceID]map[mesh.Ref]*Slice{},
		links: map[link]map[mesh.ServiceID]int{}, instances: map[mesh.WorkloadID]*Instance{}, within: map[mesh.Namespace]map[mesh.WorkloadID]*Instance{},
		podAt: map[netip.Addr]mesh.WorkloadID{}, onNode: map[string]set[mesh.WorkloadID]{}, nodes: map[string]mesh.Locality{},
		services: set[mesh.ServiceID]{}, endpoints: touched{}, workloads: set[mesh.WorkloadID]{}, dropped: set[mesh.Ref]{}, addressed: map[string]mesh.ServiceID{}, given: map[mesh.ServiceID]*mesh.EndpointSet{}, doubled: set[mesh.ServiceID]{}, stood: map[mesh.WorkloadID]mesh.Address{},
	}
}

// SetDefinition puts what an object says about services; nil removes it.
func (x *Index) SetDefinition(ref mesh.Ref, d *Definition) {
	if old := x.definitions[ref]; old != nil {
		x.dropDefinition(ref, old)
	}
	if d == nil {
		return
	}
	x.definitions[ref] = d
	for _, s := range d.Services {
		x.byID[s.ID] = append(x.byID[s.ID], d)
		slices.SortFunc(x.byID[s.ID], olderDefinition)
	}
	if len(d.Selector) > 0 {
		put(x.selecting, ref.Namespace, ref, d)
	}
	x.touchDefinition(ref.Namespace, d)
}

func (x *Index) dropDefinition(ref mesh.Ref, d *Definition) {
	x.touchDefinition(ref.Namespace, d)
	delete(x.definitions, ref)
	x.dropped.add(ref)
	for _, s := range d.Services {
		x.byID[s.ID] = slices.DeleteFunc(x.byID[s.ID], func(o *Definition) bool { return o == d })
		if len(x.byID[s.ID]) == 0 {
			delete(x.byID, s.ID)
		}
	}
	cut(x.selecting, ref.Namespace, ref)
}

// touchDefinition marks what a definition says, and the instances of its rivals: which of several definitions counts may have changed.
func (x *Index) touchDefinition(ns mesh.Namespace, d *Definition) {
	for _, s := range d.Services {
		x.services.add(s.ID)
		x.endpoints.add(s.ID)
		for _, rival := range x.byID[s.ID] {
			if rival != d {
				x.touchSelected(ns, rival.Selector)
			}
		}
	}
	x.touchSelected(ns, d.Selector)
}

func (x *Index) touchSelected(ns mesh.Namespace, selector mesh.Labels) {
	if len(selector) == 0 {
		return
	}
	for id, in := range x.within[ns] {
		if selector.Selects(in.Labels) {
			x.workloads.add(id)
		}
	}
}

// SetSlice puts an endpoint slice; nil removes it.
func (x *Index) SetSlice(ref mesh.Ref, s *Slice) {
	if old := x.slices[ref]; old != nil {
		x.endpoints.add(old.Service)
		cut(x.ofService, old.Service, ref)
		delete(x.slices, ref)
		x.link(old, -1)
	}
	if s == nil {
		return
	}
	x.slices[ref] = s
	put(x.ofService, s.Service, ref, s)
	x.endpoints.add(s.Service)
	x.link(s, 1)
}

func (x *Index) link(s *Slice, by int) {
	count := func(l link) {
		m := x.links[l]
		if m == nil {
			m = map[mesh.ServiceID]int{}
			x.links[l] = m
		}
		if m[s.Service] += by; m[s.Service] == 0 {
			delete(m, s.Service)
		}
		if len(m) == 0 {
			delete(x.links, l)
		}
	}
	for _, e := range s.Endpoints {
		if e.Pod != "" {
			count(link{namespace: s.Service.Namespace, pod: e.Pod})
		}
		for _, ip := range e.Addresses {
			count(link{ip: ip})
		}
	}
}

// SetInstance puts a Pod or WorkloadEntry; nil removes it.
func (x *Index) SetInstance(id mesh.WorkloadID, in *Instance) {
	if old := x.instances[id]; old != nil {
		x.touchInstance(id, old)
		delete(x.instances, id)
		cut(x.within, id.Namespace, id)
		cut(x.onNode, old.Node, id)
		for _, ip := range old.Addresses {
			if x.podAt[ip] == id {
				delete(x.podAt, ip)
			}
		}
	}
	if in == nil {
		return
	}
	x.instances[id] = in
	put(x.within, id.Namespace, id, in)
	if in.Node != "" {
		if x.onNode[in.Node] == nil {
			x.onNode[in.Node] = set[mesh.WorkloadID]{}
		}
		x.onNode[in.Node].add(id)
	}
	if id.Kind == KindPod {
		for _, ip := range in.Addresses {
			x.podAt[ip] = id
		}
	}
	x.touchInstance(id, in)
}

func (x *Index) touchInstance(id mesh.WorkloadID, in *Instance) {
	x.workloads.add(id)
	if _, known := x.stood[id]; !known {
		x.stood[id] = in.Address
	}
	for _, d := range x.selecting[id.Namespace] {
		if d.Selector.Selects(in.Labels) && !(d.Slices && id.Kind == KindPod) {
			for _, s := range d.Services {
				x.endpoints.part(s.ID, id)
			}
		}
	}
	if id.Kind != KindPod {
		return
	}
	for s := range x.links[link{namespace: id.Namespace, pod: id.Name}] {
		x.endpoints.add(s)
	}
	for _, ip := range in.Addresses {
		for s := range x.links[link{ip: ip}] {
			x.endpoints.add(s)
		}
	}
}

// SetNode puts the locality of a node.
func (x *Index) SetNode(name string, l mesh.Locality) {
	if x.nodes[name] == l {
		return
	}
	x.nodes[name] = l
	if l == (mesh.Locality{}) {
		delete(x.nodes, name)
	}
	for id := range x.onNode[name] {
		x.touchInstance(id, x.instances[id])
	}
}

// HealthChanged tells that the health of workloads changed; the zero workload stands for all.
func (x *Index) HealthChanged(changed []health.Workload) {
	for _, w := range changed {
		if w == (health.Workload{}) {
			for id, in := range x.instances {
				if id.Kind == KindWorkloadEntry {
					x.touchInstance(id, in)
				}
			}
			continue
		}
		id := mesh.WorkloadID{Cluster: x.opts.Cluster, Namespace: mesh.Namespace(w.Namespace), Kind: KindWorkloadEntry, Name: w.Name}
		if in := x.instances[id]; in != nil {
			x.touchInstance(id, in)
		}
	}
}

// The kinds of WorkloadID.
const (
	KindPod           = "Pod"
	KindWorkloadEntry = "WorkloadEntry"
)

func put[A, B comparable, V any](m map[A]map[B]V, a A, b B, v V) {
	if m[a] == nil {
		m[a] = map[B]V{}
	}
	m[a][b] = v
}

func cut[A, B comparable, V any, M ~map[B]V](m map[A]M, a A, b B) {
	if delete(m[a], b); len(m[a]) == 0 {
		delete(m, a)
	}
}
