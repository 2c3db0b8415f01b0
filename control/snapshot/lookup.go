package snapshot

import (
	"maps"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// question is one thing that a translation asked about the rest of the mesh.
type question struct {
	kind    askKind
	host    mesh.Host
	from    mesh.Namespace
	subset  string
	gateway mesh.GatewayID
	object  mesh.Ref
	of      string // the kind of objects
}

type askKind uint8

const (
	askService askKind = iota
	askSubset
	askGateway
	askObject
	askListed    // objects of a kind in namespace from
	askNamespace // namespace from
	askSets      // ListenerSets of object
	askDefaults  // default Gateways
)

// asked remembers who asked what and what the answer was, so that an object is translated again when an answer that it got has changed.
type asked struct {
	answers map[question]any
	askers  map[question]map[mesh.Ref]struct{}
	of      map[mesh.Ref][]question
	byHost  map[mesh.Host]map[question]struct{}
}

func newAsked() *asked {
	return &asked{answers: map[question]any{}, askers: map[question]map[mesh.Ref]struct{}{}, of: map[mesh.Ref][]question{}, byHost: map[mesh.Host]map[question]struct{}{}}
}

// forget drops what an object asked, before it is translated again.
func (a *asked) forget(ref mesh.Ref) {
	for _, q := range a.of[ref] {
		if delete(a.askers[q], ref); len(a.askers[q]) > 0 {
			continue
		}
		delete(a.askers, q)
		delete(a.answers, q)
		if q.host != "" {
			if delete(a.byHost[q.host], q); len(a.byHost[q.host]) == 0 {
				delete(a.byHost, q.host)
			}
		}
	}
	delete(a.of, ref)
}

// record notes an answer that an object got. It gives the others who asked the same before and were told something else.
func (a *asked) record(ref mesh.Ref, q question, answer any) (outdated map[mesh.Ref]struct{}) {
	if _, known := a.askers[q][ref]; known {
		return nil
	}
	if old, ok := a.answers[q]; ok && old != answer {
		outdated = maps.Clone(a.askers[q])
	}
	if a.askers[q] == nil {
		a.askers[q] = map[mesh.Ref]struct{}{}
	}
	a.askers[q][ref] = struct{}{}
	a.of[ref] = append(a.of[ref], q)
	a.answers[q] = answer
	if q.host != "" {
		if a.byHost[q.host] == nil {
			a.byHost[q.host] = map[question]struct{}{}
		}
		a.byHost[q.host][q] = struct{}{}
	}
	return outdated
}

// about lists the questions whose answer may depend on a host: those for the host, and for a wildcard those that it covers.
func (a *asked) about(h mesh.Host) (out []question) {
	if !h.IsWildcard() {
		for q := range a.byHost[h] {
			out = append(out, q)
		}
		return out
	}
	for host, qs := range a.byHost {
		if h.Matches(host) {
			for q := range qs {
				out = append(out, q)
			}
		}
	}
	return out
}

// lookup answers one object's translation from the tables as they are now, and records what was asked (translate.Lookup).
type lookup struct {
	b   *Builder
	ref mesh.Ref
}

// note records what was asked. Who got another answer to the same question before is translated again: by the time that the object which it is about is looked at, the new
// answer would be the only one known.
func (l lookup) note(q question, answer any) {
	for ref := range l.b.asked.record(l.ref, q, answer) {
		l.b.dirty[ref] = struct{}{}
	}
}

// Settings are constant for the life of the builder.
func (l lookup) Settings() *mesh.Settings { return l.b.now.Settings }

// Service finds the service for a host that a namespace sees: the host itself, or the most specific wildcard.
func (l lookup) Service(host mesh.Host, from mesh.Namespace) (*mesh.Service, bool) {
	s := l.b.findService(host, from)
	l.note(question{kind: askService, host: host, from: from}, s)
	return s, s != nil
}

// Subset says whether a rule that the namespace sees defines the subset.
func (l lookup) Subset(host mesh.Host, subset string, from mesh.Namespace) bool {
	ok := l.b.findSubset(host, subset, from)
	l.note(question{kind: askSubset, host: host, subset: subset, from: from}, ok)
	return ok
}

// Gateway says whether a gateway exists.
func (l lookup) Gateway(id mesh.GatewayID) bool {
	_, ok := l.b.now.Gateways.Get(id)
	l.note(question{kind: askGateway, gateway: id}, ok)
	return ok
}

// Object finds a valid object, or the last valid version of one that is broken.
func (l lookup) Object(ref mesh.Ref) (api.Object, bool) {
	o, version := l.b.findObject(ref)
	l.note(question{kind: askObject, object: ref}, version)
	return o, o.Kind != nil
}

// Grants are the ReferenceGrants of a namespace.
func (l lookup) Grants(ns mesh.Namespace) []api.Object {
	return l.listed("ReferenceGrant", ns)
}

// BackendTLSPolicies are those of a namespace.
func (l lookup) BackendTLSPolicies(ns mesh.Namespace) []api.Object {
	return l.listed("BackendTLSPolicy", ns)
}

// ListenerSets are those, of any namespace, whose parent is a Gateway.
func (l lookup) ListenerSets(gateway mesh.Ref) []api.Object {
	list, version := l.b.findSets(gateway)
	l.note(question{kind: askSets, object: gateway}, version)
	return list
}

// ClassDefaults are the ConfigMaps of the root namespace that say for which class of gateways they are.
func (l lookup) ClassDefaults() []api.Object {
	return l.listed("ConfigMap", l.b.now.Settings.RootNamespace)
}

// DefaultGateways are the Gateways that take routes which name no parent.
func (l lookup) DefaultGateways() []mesh.Ref {
	list, version := l.b.findDefaults()
	l.note(question{kind: askDefaults}, version)
	return list
}

func (l lookup) listed(kind string, ns mesh.Namespace) []api.Object {
	list, version := l.b.findListed(listKey{kind, ns})
	l.note(question{kind: askListed, of: kind, from: ns}, version)
	return list
}

// NamespaceLabels are those of the Namespace object; a namespace that only other objects name exists without labels.
func (l lookup) NamespaceLabels(ns mesh.Namespace) (mesh.Labels, bool) {
	labels, ok, version := l.b.findNamespace(ns)
	l.note(question{kind: askNamespace, from: ns}, version)
	return labels, ok
}

func (b *Builder) answer(q question) any {
	switch q.kind {
	case askService:
		return b.findService(q.host, q.from)
	case askSubset:
		return b.findSubset(q.host, q.subset, q.from)
	case askObject:
		_, version := b.findObject(q.object)
		return version
	case askSets:
		_, version := b.findSets(q.object)
		return version
	case askDefaults:
		_, version := b.findDefaults()
		return version
	case askListed:
		_, version := b.findListed(listKey{q.of, q.from})
		return version
	case askNamespace:
		_, _, version := b.findNamespace(q.from)
		return version
	}
	_, ok := b.now.Gateways.Get(q.gateway)
	return ok
}

// ask again the questions, and mark the objects whose answer differs.
func (b *Builder) recheck(qs []question) {
	for _, q := range qs {
		if old, ok := b.asked.answers[q]; ok && old != b.answer(q) {
			for ref := range b.asked.askers[q] {
				b.dirty[ref] = struct{}{}
			}
		}
	}
}

func (b *Builder) findService(host mesh.Host, from mesh.Namespace) *mesh.Service {
	return findService(&b.now, host, from)
}

func findService(now *mesh.Snapshot, host mesh.Host, from mesh.Namespace) *mesh.Service {
	for h := range covering(host) {
		ids, _ := now.Hosts.Get(h)
		var best *mesh.Service
		for _, id := range ids {
			s, ok := now.Services.Get(id)
			if ok && s.ExportTo.From(id.Namespace, from) && (best == nil || id.Namespace == from) {
				best = s
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

func (b *Builder) findSubset(host mesh.Host, subset string, from mesh.Namespace) bool {
	return findSubset(&b.now, host, subset, from)
}

func findSubset(now *mesh.Snapshot, host mesh.Host, subset string, from mesh.Namespace) bool {
	for h := range covering(host) {
		ts, _ := now.Traffic.Get(h)
		for _, t := range ts {
			if t.ExportTo.From(t.Origin.Namespace, from) && slices.ContainsFunc(t.Subsets, func(s mesh.Subset) bool { return s.Name == subset }) {
				return true
			}
		}
	}
	return false
}

// covering goes from a host to the wildcards that cover it, the most specific first.
func covering(host mesh.Host) func(yield func(mesh.Host) bool) {
	return func(yield func(mesh.Host) bool) {
		if !yield(host) {
			return
		}
		_, rest, _ := strings.Cut(strings.TrimPrefix(string(host), "*."), ".")
		for rest != "" {
			if !yield(mesh.Host("*." + rest)) {
				return
			}
			_, rest, _ = strings.Cut(rest, ".")
		}
		if host != "*" {
			yield("*")
		}
	}
}
