// Package view is what a compiler may read: the snapshot through tracked reads, and answers about the proxy that asks.
//
// In: a Source (one snapshot with the indexes that compilers need) and the Reader of one computation. Out: nouns and answers; everything that
// was looked at, present or absent, is recorded and becomes the cache key of the result. There is no way to read a raw attribute of the proxy.
// A View belongs to one computation; a Source is immutable and safe for concurrent use.
package view

import (
	"cmp"
	"iter"
	"slices"
	"sync/atomic"

	"github.com/heddle-mesh/heddle/mesh"
)

// Source is a snapshot with indexes that only compilers need, kept up to date from one snapshot to the next.
type Source struct {
	*mesh.Snapshot
	// Ports lists the services that have a port, ordered by host.
	Ports mesh.Table[uint16, []mesh.ServiceID]
	// Orphans are the hosts of routes for sidecars that no service defines.
	Orphans mesh.Table[mesh.Host, mesh.ServiceID]
	// Accounts are the identities of a service's endpoints, ordered, one a line: they change seldom where endpoints change often.
	Accounts mesh.Table[mesh.ServiceID, string]
	// parts are the endpoints in an encoded form; encoded counts those encoded since the start, in all sources that follow each other.
	parts   mesh.Table[mesh.ServiceID, *Parts]
	encoded *atomic.Uint64
	// Leads are the routes for sidecars that lead to a host.
	Leads mesh.Table[mesh.Host, []lead]
	// Aliases are the services that are another name of a host, ordered.
	Aliases mesh.Table[mesh.Host, []mesh.ServiceID]
	// short counts hosts by how they end.
	short   mesh.Table[string, int]
	patches *patchIndex
	// callers are the hosts whose rules with a workload selector name a Secret (by the names that it has in SDS), ordered.
	callers mesh.Table[string, []mesh.Host]
	shape   shape
	hosts   *hostIndex
	// clientNames are the services that go by the names that clients give, ordered.
	clientNames []mesh.ServiceID
}

// derived names an entry of an index of Source in a mesh.Key.
type derived struct {
	index string
	port  uint16
}

// These name entries of other indexes, each by no more than it needs, since they are many.
type (
	accountsFor struct{ service mesh.ServiceID }
	leadsTo     struct{ host mesh.Host }
	aliasesFor  struct{ host mesh.Host }
	callersOf   struct{ secret string }
)

// portKey is which services have a port, and what each of them is.
func portKey(port uint16) mesh.Key {
	return mesh.Key{Noun: mesh.OfDerived, Name: derived{index: "port", port: port}}
}

func accountsKey(id mesh.ServiceID) mesh.Key {
	return mesh.Key{Noun: mesh.OfDerived, Name: accountsFor{id}}
}

func leadsKey(h mesh.Host) mesh.Key {
	return mesh.Key{Noun: mesh.OfDerived, Name: leadsTo{h}}
}

var (
	portsKey   = mesh.Key{Noun: mesh.OfDerived, Name: derived{index: "ports"}}
	orphansKey = mesh.Key{Noun: mesh.OfDerived, Name: derived{index: "orphans"}}
)

// NewSource is the source of an empty mesh.
func NewSource() *Source {
	return &Source{
		Snapshot: mesh.NewSnapshot(&mesh.Settings{}),
		Ports:    mesh.NewTable[uint16, []mesh.ServiceID](cmp.Compare[uint16]),
		Orphans:  mesh.NewTable[mesh.Host, mesh.ServiceID](mesh.CompareText[mesh.Host]),
		Accounts: mesh.NewTable[mesh.ServiceID, string](mesh.CompareServiceID),
		Leads:    mesh.NewTable[mesh.Host, []lead](mesh.CompareText[mesh.Host]),
		Aliases:  mesh.NewTable[mesh.Host, []mesh.ServiceID](mesh.CompareText[mesh.Host]),
		callers:  mesh.NewTable[string, []mesh.Host](mesh.CompareText[string]),
		short:    mesh.NewTable[string, int](mesh.CompareText[string]),
		parts:    mesh.NewTable[mesh.ServiceID, *Parts](mesh.CompareServiceID),
		encoded:  &atomic.Uint64{},
		hosts:    &hostIndex{},
		patches:  &patchIndex{},
	}
}

// Encoded counts the endpoints that were encoded since the start.
func (s *Source) Encoded() uint64 { return s.encoded.Load() }

// Next is the source of a later snapshot, and the keys that differ: those of the snapshot and those of the indexes.
func (s *Source) Next(snapshot *mesh.Snapshot) (*Source, []mesh.Key) {
	next := &Source{hosts: &hostIndex{}, Snapshot: snapshot, Ports: s.Ports, Orphans: s.Orphans, Accounts: s.Accounts, Leads: s.Leads, Aliases: s.Aliases, short: s.short, patches: s.patches, parts: s.parts, encoded: s.encoded, callers: s.callers, clientNames: s.clientNames}
	keys := slices.Collect(mesh.Diff(s.Snapshot, snapshot))
	if services := (mesh.Key{Noun: mesh.OfServices}); !slices.Contains(keys, services) && !slices.Contains(keys, mesh.Key{Noun: mesh.OfHosts}) {
		next.hosts = s.hosts
	}
	ports, ends, orphans, names := portChanges{}, map[string]int{}, false, false
	var endpoints []mesh.ServiceID
	if slices.Contains(keys, mesh.Key{Noun: mesh.OfFilters}) {
		next.patches = indexPatches(snapshot.Filters)
		keys = append(keys, changedPatches(s.patches, next.patches)...)
	}
	for _, k := range keys {
		switch name := k.Name.(type) {
		case mesh.ServiceID:
			switch k.Noun {
			case mesh.OfServices:
				ports.compare(s.Snapshot, snapshot, name)
				keys = append(keys, mesh.Key{Noun: mesh.OfHosts, Name: name.Host}) // who asks for a host gets its service
				names = next.indexClientNames(name) || names
				keys = append(keys, next.indexAlias(s.Snapshot, name)...)
			case mesh.OfEndpoints:
				endpoints = append(endpoints, name)
			}
		case mesh.Ref:
			if k.Noun == mesh.OfRoutes {
				for _, h := range next.indexLeads(s, name) {
					keys = append(keys, leadsKey(h))
				}
			}
		case mesh.Host:
			if k.Noun == mesh.OfHosts || k.Noun == mesh.OfMeshRoutes {
				orphans = next.indexOrphan(name) || orphans
			}
			if k.Noun == mesh.OfTraffic {
				keys = append(keys, mesh.Key{Noun: mesh.OfHosts, Name: name}) // and its rules: nearly everything that asks for the one asks for the other
				keys = append(keys, next.indexCallers(s.Snapshot, name)...)
			}
			if k.Noun == mesh.OfHosts {
				countShort(s.Snapshot, snapshot, name, ends)
			}
		}
	}
	for _, id := range next.indexEndpoints(endpoints) {
		keys = append(keys, accountsKey(id))
	}
	keys = append(append(keys, next.indexPorts(ports)...), next.indexShort(ends)...)
	if next.shape = s.shape.with(next); next.shape != s.shape {
		keys = append(keys, shapeKey)
	}
	if names {
		keys = append(keys, clientNamesKey)
	}
	if orphans {
		keys = append(keys, orphansKey)
	}
	return next, keys
}

func (s *Source) indexOrphan(h mesh.Host) (changed bool) {
	_, was := s.Orphans.Get(h)
	routes, _ := s.MeshRoutes.Get(h)
	_, service := s.Hosts.Get(h)
	is := slices.ContainsFunc(routes, func(r *mesh.Route) bool { return len(r.UDP) == 0 }) && !service
	switch {
	case is && !was:
		s.Orphans = s.Orphans.With(h, mesh.ServiceID{Host: h})
	case was && !is:
		s.Orphans = s.Orphans.Without(h)
	}
	return is != was
}

// sorted goes through the keys of a table.
func sorted[K comparable, V any](t mesh.Table[K, V]) iter.Seq[K] {
	return func(yield func(K) bool) {
		for k := range t.All() {
			if !yield(k) {
				return
			}
		}
	}
}
