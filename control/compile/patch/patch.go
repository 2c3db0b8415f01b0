// Package patch changes compiled resources by the patches of EnvoyFilters.
//
// In: a View, and a resource as it was compiled. Out: the resource with the changes that match it, in Istio's order. A patch that the proxy cannot honour, or whose result Envoy would
// refuse, is left out and told, and the others go on; where it guards, what it matches is closed. Pure and safe for concurrent use. A resource without patches is given back as it is.
package patch

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds/catalog"
)

// mostAdded bounds how many bytes patches may add to one resource: a small value may be put in many places.
const mostAdded = 4 << 20

// mostWork bounds how many bytes are gone through for one resource: each patch looks at all of it, and may be tried on a copy.
const mostWork = 128 << 20

var (
	errTooMuch = errors.New("patches would add more than 4 MiB to one resource")
	errTooLong = errors.New("there are too many patches for a resource of its size")
)

// outcome is what came of a patch.
type outcome uint8

const (
	missed outcome = iota
	changed
	removed
)

// some is changed when anything was.
func some(any bool) outcome {
	if any {
		return changed
	}
	return missed
}

// run is the patching of one resource.
type run struct {
	v       *view.View
	context mesh.PatchContext
	added   int // bytes that patches put in
	work    int // bytes that were gone through
}

// kind is how resources of a type are changed.
type kind[M proto.Message] struct {
	change func(m M, p *mesh.Patch) (outcome, error)
	// shut closes whatever a patch that guards matches, where it is left out. What it gives back closes the same again, behind later patches.
	shut func(m M, p *mesh.Patch) (again func(M))
	// check says what Envoy would refuse beside the rules of the messages; it may be nil.
	check func(m M) error
}

// apply changes a resource by patches, one after the other; false says that one of them removed it.
func apply[M proto.Message](r *run, m M, patches []*mesh.Patch, k kind[M]) (M, bool) {
	if len(patches) == 0 {
		return m, true
	}
	m = message.Thawed(m)
	size := proto.Size(m)
	if len(patches)*size > mostWork {
		_ = none(r, m, patches, k)
		return m, true
	}
	all, added := proto.Clone(m).(M), r.added
	if out, ok := together(r, all, patches, k, size); ok {
		return all, out != removed
	}
	r.added, r.work = added, 0
	var shut []func(M)
	for i, p := range patches {
		if r.spend(size) {
			shut = append(shut, none(r, m, patches[i:], k)...)
			break
		}
		trial, before := proto.Clone(m).(M), r.added
		out, err := k.change(trial, p)
		if out == missed && err == nil {
			continue
		}
		r.v.Applied(p)
		r.v.From(p.Origin)
		problems := unhonoured(r.v, p)
		if len(problems) == 0 {
			if out == removed {
				return m, false
			}
			if err == nil {
				err = k.valid(trial)
			}
			if err == nil {
				m = trial
				continue
			}
			refused(r.v, p, err)
		} else {
			tell(r.v, p, problems)
		}
		r.added = before
		if p.Guards {
			shut = append(shut, k.shut(m, p))
		}
	}
	for _, again := range shut {
		again(m)
	}
	return m, true
}

// none leaves all patches out; what they guard is closed.
func none[M proto.Message](r *run, m M, patches []*mesh.Patch, k kind[M]) (shut []func(M)) {
	for _, p := range patches {
		r.v.Applied(p)
		r.v.From(p.Origin)
		refused(r.v, p, errTooLong)
		if p.Guards {
			shut = append(shut, k.shut(m, p))
		}
	}
	return shut
}

// spend counts what it costs to try one patch of a resource that had a size at first, and says whether it is too much.
func (r *run) spend(size int) bool {
	r.work += size + r.added
	return r.work > mostWork
}

// together tries all patches at once, which is what nearly always works. What it says in vain about patches is said again one by one.
func together[M proto.Message](r *run, m M, patches []*mesh.Patch, k kind[M], size int) (last outcome, ok bool) {
	var matched []*mesh.Patch
	for _, p := range patches {
		if r.spend(size) {
			return missed, false
		}
		out, err := k.change(m, p)
		if err != nil {
			return missed, false
		}
		if out == missed {
			continue
		}
		if len(unhonoured(r.v, p)) > 0 {
			return missed, false
		}
		matched = append(matched, p)
		if last = out; out == removed {
			break
		}
	}
	if last != removed && len(matched) > 0 && k.valid(m) != nil {
		return missed, false
	}
	for _, p := range matched {
		r.v.Applied(p)
		r.v.From(p.Origin)
	}
	return last, true
}

func (k kind[M]) valid(m M) error {
	if k.check != nil {
		if err := k.check(m); err != nil {
			return err
		}
	}
	return catalog.Validate(m)
}

// grow counts what a patch adds in one place.
func (r *run) grow(p *mesh.Patch) error {
	if r.added += len(p.Value); r.added > mostAdded {
		return errTooMuch
	}
	return nil
}

// value is a new copy of what a patch puts in.
func value[T any, M interface {
	*T
	proto.Message
}](p *mesh.Patch) M {
	m := M(new(T))
	if err := proto.Unmarshal(p.Value, m); err != nil {
		panic(fmt.Sprintf("patch: %s of %s was encoded by the translation and does not decode: %v", p.Path, p.Origin, err))
	}
	return m
}

// in says whether the patch is for the side of the traffic.
func (r *run) in(p *mesh.Patch) bool {
	return p.Context == mesh.PatchAnywhere || p.Context == r.context
}

// adds says whether a patch adds something of its own.
func adds(p *mesh.Patch) bool { return p.Operation == mesh.PatchAdd }

// Added are the names of the resources that patches add to those that were compiled; have is those, ordered.
func Added(v *view.View, kind view.PatchKind, have []string) []string {
	target := map[view.PatchKind]mesh.PatchTarget{view.Listeners: mesh.PatchListener, view.Clusters: mesh.PatchCluster}[kind]
	for _, p := range v.Patches(kind, "") {
		if p.Target == target && adds(p) {
			have = append(have, p.Names)
		}
	}
	return have
}
