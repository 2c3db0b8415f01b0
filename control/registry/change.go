package registry

import (
	"maps"
	"slices"

	"github.com/heddle-mesh/heddle/mesh"
)

// touched are services whose endpoints are to be computed again: those of these instances, or all (nil).
type touched map[mesh.ServiceID]set[mesh.WorkloadID]

func (t touched) add(id mesh.ServiceID) { t[id] = nil }

// part marks the endpoint of one instance.
func (t touched) part(id mesh.ServiceID, instance mesh.WorkloadID) {
	instances, known := t[id]
	if known && instances == nil {
		return
	}
	if instances == nil {
		instances = set[mesh.WorkloadID]{}
		t[id] = instances
	}
	instances.add(instance)
}

// double says that only one of two endpoints that follow each other is kept.
func double(a, b *mesh.Endpoint) bool { return a.Address == b.Address && maps.Equal(a.Ports, b.Ports) }

// few instances are put in their places one by one, whatever the number of the others.
const few = 8

// changed computes the endpoints of a service again of which those of some instances changed (nil: all). A few of many are put in their places among the others, which are not
// looked at; but not where one endpoint hides another, since then what is taken out may bring forth what was hidden.
func (x *Index) changed(id mesh.ServiceID, instances set[mesh.WorkloadID]) *mesh.EndpointSet {
	old := x.given[id]
	d, s := x.first(id)
	if _, doubled := x.doubled[id]; instances == nil || old == nil || s == nil || doubled || len(instances) > few+len(old.Endpoints)/16 {
		return x.endpointSet(id)
	}
	list := slices.Clone(old.Endpoints)
	for wid := range instances {
		was, at := find(list, x.stood[wid], wid)
		if was != nil {
			list = slices.Delete(list, at, at+1)
			if at > 0 && at < len(list) && double(list[at-1], list[at]) {
				return x.endpointSet(id)
			}
		}
		in := x.instances[wid]
		if in == nil || wid.Namespace != id.Namespace || !d.selects(in) {
			continue
		}
		e := x.instanceEndpoint(d, s, in)
		if was != nil && sameEndpoint(was, e) {
			e = was
		}
		at, _ = slices.BinarySearchFunc(list, e, compareEndpoints)
		if list = slices.Insert(list, at, e); at > 0 && double(list[at-1], e) || at+1 < len(list) && double(e, list[at+1]) {
			return x.endpointSet(id)
		}
	}
	return &mesh.EndpointSet{Service: id, Endpoints: list}
}

// find is the endpoint of an instance at an address, nil when there is none.
func find(list []*mesh.Endpoint, at mesh.Address, id mesh.WorkloadID) (*mesh.Endpoint, int) {
	i, _ := slices.BinarySearchFunc(list, at, func(e *mesh.Endpoint, at mesh.Address) int { return compareAddresses(e.Address, at) })
	for ; i < len(list) && list[i].Address == at; i++ {
		if list[i].Workload == id {
			return list[i], i
		}
	}
	return nil, 0
}

// selects says whether an instance is an endpoint of the definition's services because of its labels.
func (d *Definition) selects(in *Instance) bool {
	return len(d.Selector) > 0 && !(d.Slices && in.ID.Kind == KindPod) && d.Selector.Selects(in.Labels) && !in.Address.IsZero()
}
