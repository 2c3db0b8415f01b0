package view

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/heddle-mesh/heddle/mesh"
)

// PatchKind is a kind of resource that patches are for.
type PatchKind uint8

// The kinds.
const (
	Listeners PatchKind = iota
	Routes
	Clusters
	Extensions
	patchKinds
)

// kindOfPatch is the kind of resource that a target is part of.
func kindOfPatch(t mesh.PatchTarget) PatchKind {
	switch t {
	case mesh.PatchCluster:
		return Clusters
	case mesh.PatchExtension:
		return Extensions
	case mesh.PatchRouteConfiguration, mesh.PatchVirtualHost, mesh.PatchHTTPRoute:
		return Routes
	}
	return Listeners
}

// placedPatch is a patch with the object that it is in.
type placedPatch struct {
	filter *mesh.EnvoyFilter
	patch  *mesh.Patch
}

// patchIndex is the patches of a snapshot: by kind and namespace in the order in which they are applied, and by their IDs.
type patchIndex struct {
	by   [patchKinds]map[mesh.Namespace][]placedPatch
	byID map[string]*mesh.Patch
}

// patchScope is where patches of a kind are; what an answer rests on. The namespace "" stands for all of them together: whether there is a patch at all.
type patchScope struct {
	kind      PatchKind
	namespace mesh.Namespace
}

func scopeKey(s patchScope) mesh.Key { return mesh.Key{Noun: mesh.OfDerived, Name: s} }

func indexPatches(filters mesh.Table[mesh.Namespace, []*mesh.EnvoyFilter]) *patchIndex {
	if filters.Len() == 0 {
		return &patchIndex{}
	}
	x := &patchIndex{byID: map[string]*mesh.Patch{}}
	for ns, list := range filters.All() {
		for _, f := range list {
			for _, p := range f.Patches {
				k := kindOfPatch(p.Target)
				if x.by[k] == nil {
					x.by[k] = map[mesh.Namespace][]placedPatch{}
				}
				x.by[k][ns] = append(x.by[k][ns], placedPatch{f, p})
				x.byID[p.ID] = p
			}
		}
	}
	return x
}

// changedPatches are the keys of the scopes that differ.
func changedPatches(before, after *patchIndex) (keys []mesh.Key) {
	for k := range patchKinds {
		if len(before.by[k]) == 0 != (len(after.by[k]) == 0) {
			keys = append(keys, scopeKey(patchScope{kind: k}))
		}
		for ns, list := range after.by[k] {
			if !slices.Equal(before.by[k][ns], list) {
				keys = append(keys, scopeKey(patchScope{k, ns}))
			}
		}
		for ns := range before.by[k] {
			if _, still := after.by[k][ns]; !still {
				keys = append(keys, scopeKey(patchScope{k, ns}))
			}
		}
	}
	return keys
}

// patchesFor asks which patches a proxy has for a resource; a resource without a name is all of the kind. A virtual host is a part of a route configuration. The answer is their IDs in order, with commas between them, so proxies with
// the same patches (nearly always none) answer alike.
type patchesFor struct {
	kind PatchKind
	name string
	part string
	// meant asks for all patches of objects that select the proxy, those included that the proxy's version or metadata keep away from it.
	meant bool
}

func (q patchesFor) Answer(s *Source, p *mesh.Proxy) any {
	by := s.patches.by[q.kind]
	if len(by) == 0 || p.Kind == mesh.Proxyless {
		return ""
	}
	var b strings.Builder
	root := s.Settings.RootNamespace
	q.list(&b, by[root], p)
	if p.Namespace != root {
		q.list(&b, by[p.Namespace], p)
	}
	if b.Len() == 0 {
		return ""
	}
	return b.String()
}

func (q patchesFor) list(b *strings.Builder, list []placedPatch, p *mesh.Proxy) {
	for _, x := range list {
		if !q.concerns(x.patch) || !means(x.filter, p) || !q.meant && !narrows(x.patch, p) || !sided(x.patch, p) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(x.patch.ID)
	}
}

// concerns leaves out patches that by their names and numbers cannot be for the resource; the others are looked at when it is compiled.
func (q patchesFor) concerns(p *mesh.Patch) bool {
	if q.name == "" {
		return true
	}
	if p.Operation == mesh.PatchAdd && (p.Target == mesh.PatchCluster || p.Target == mesh.PatchListener || p.Target == mesh.PatchExtension) {
		return p.Names == q.name
	}
	m := &p.Match
	if m.Name != "" && m.Name != q.name {
		return false
	}
	switch q.kind {
	case Listeners:
		_, port, ok := ParseListenerName(q.name)
		return m.Port == 0 || !ok || m.Port == uint32(port)
	case Clusters:
		return matchesCluster(m, q.name)
	case Extensions:
		return p.Names == q.name
	}
	return q.part == "" || q.concernsPart(p)
}

// concernsPart leaves out what is for other virtual hosts.
func (q patchesFor) concernsPart(p *mesh.Patch) bool {
	switch {
	case p.Target == mesh.PatchRouteConfiguration:
		return p.Guards // hosts are shut where it cannot be honoured
	case p.Target == mesh.PatchVirtualHost && p.Operation == mesh.PatchAdd:
		return p.Names == q.part
	}
	return p.Match.Host == nil || p.Match.Host.Name == "" || p.Match.Host.Name == q.part
}

// matchesCluster compares what a cluster's name says; of inbound clusters the service is not in it.
func matchesCluster(m *mesh.PatchMatch, name string) bool {
	if m.Port == 0 && m.Service == "" && m.Subset == "" {
		return true
	}
	if port, ok := ParseInboundName(name); ok {
		return m.Subset == "" && (m.Port == 0 || m.Port == uint32(port))
	}
	port, subset, host, ok := ParseClusterName(name)
	if !ok {
		port, subset, host, ok = ParseSNI(name)
	}
	return ok && (m.Port == 0 || m.Port == uint32(port)) && (m.Service == "" || m.Service == string(host)) && (m.Subset == "" || m.Subset == subset)
}

// means says whether an object is for a proxy.
func means(f *mesh.EnvoyFilter, p *mesh.Proxy) bool {
	if f.Gateways && p.Kind != mesh.Router {
		return false
	}
	return len(f.Selectors) == 0 || slices.ContainsFunc(f.Selectors, func(l mesh.Labels) bool { return l.Selects(p.Labels) })
}

// sided says whether the proxy has the side of traffic that a patch is about.
func sided(x *mesh.Patch, p *mesh.Proxy) bool {
	return x.Context == mesh.PatchAnywhere || (x.Context == mesh.PatchGateway) == (p.Kind == mesh.Router)
}

// narrows says whether the proxy is of a version and has the metadata that a patch is for.
func narrows(x *mesh.Patch, p *mesh.Proxy) bool {
	if x.Version != nil && (p.Metadata["ISTIO_VERSION"] == "" || !x.Version.MatchString(p.Metadata["ISTIO_VERSION"])) {
		return false
	}
	for k, v := range x.Metadata {
		if got, ok := p.Metadata[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// grounds remembers the keys of each namespace, which are asked for with every resource.
var grounds sync.Map // patchGrounds → []mesh.Key

type patchGrounds struct {
	kind      PatchKind
	own, root mesh.Namespace
}

var noPatches = func() (out [patchKinds][]mesh.Key) {
	for k := range patchKinds {
		out[k] = []mesh.Key{scopeKey(patchScope{kind: k})}
	}
	return out
}()

// Grounds are the patches of the proxy's namespace and of the root namespace or, where nothing in the mesh is patched, that it is so.
func (q patchesFor) Grounds(s *Source, p *mesh.Proxy) []mesh.Key {
	if len(s.patches.by[q.kind]) == 0 {
		return noPatches[q.kind]
	}
	at := patchGrounds{q.kind, p.Namespace, s.Settings.RootNamespace}
	if keys, ok := grounds.Load(at); ok {
		return keys.([]mesh.Key)
	}
	keys, _ := grounds.LoadOrStore(at, []mesh.Key{scopeKey(patchScope{q.kind, at.own}), scopeKey(patchScope{q.kind, at.root})})
	return keys.([]mesh.Key)
}

// Patches are the patches that the proxy has for a resource, in the order in which they are applied. Some may turn out not to match.
func (v *View) Patches(kind PatchKind, name string) []*mesh.Patch {
	return v.patches(patchesFor{kind: kind, name: name})
}

// HostPatches are those for a virtual host of a route configuration.
func (v *View) HostPatches(config, host string) []*mesh.Patch {
	return v.patches(patchesFor{kind: Routes, name: config, part: host})
}

func (v *View) patches(q patchesFor) []*mesh.Patch {
	if !v.shape().patches[q.kind] {
		return nil // so that nobody asks for each resource in a mesh without
	}
	ids := v.r.Ask(q).(string)
	if ids == "" {
		return nil
	}
	var out []*mesh.Patch
	for id := range strings.SplitSeq(ids, ",") {
		if p := v.s.patches.byID[id]; p != nil {
			out = append(out, p)
		}
	}
	return out
}

// Try records all patches of objects that select the proxy; Applied says which of them matched something.
func (v *View) Try() {
	for k := range patchKinds {
		v.tried = append(v.tried, v.patches(patchesFor{kind: k, meant: true})...)
	}
}

// Applied records that a patch matched something.
func (v *View) Applied(p *mesh.Patch) {
	if !slices.Contains(v.applied, p) {
		v.applied = append(v.applied, p)
	}
}

// Trials are the patches that Try recorded, and those that Applied did.
func (v *View) Trials() (tried, applied []*mesh.Patch) { return v.tried, v.applied }

// RouteAt is what the name of a route configuration says: the port of http.PORT, https.PORT.NAME.GATEWAY.NAMESPACE, inbound|PORT|| and PORT, and of a gateway's server with TLS
// its name and Gateway (NAMESPACE/NAME).
func RouteAt(name string) (port uint32, portName, gateway string) {
	number := func(s string) uint32 {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			return 0
		}
		return uint32(n)
	}
	if n, ok := ParseInboundName(name); ok {
		return uint32(n), "", ""
	}
	if rest, ok := strings.CutPrefix(name, "http."); ok {
		return number(rest), "", ""
	}
	if rest, ok := strings.CutPrefix(name, "https."); ok {
		parts := strings.Split(rest, ".")
		if n := len(parts); n >= 4 {
			return number(parts[0]), strings.Join(parts[1:n-2], "."), parts[n-1] + "/" + parts[n-2]
		}
	}
	return number(name), "", ""
}
