package view

import (
	"iter"
	"slices"

	"github.com/heddle-mesh/heddle/mesh"
)

// maxAliases bounds how many names stand for each other in a row.
const maxAliases = 8

func aliasKey(h mesh.Host) mesh.Key {
	return mesh.Key{Noun: mesh.OfDerived, Name: aliasesFor{h}}
}

// aliasesKey is which services are other names of others.
var aliasesKey = mesh.Key{Noun: mesh.OfDerived, Name: derived{index: "aliases"}}

// indexAlias notes of what a service is another name, and gives the keys of what changed.
func (s *Source) indexAlias(before *mesh.Snapshot, id mesh.ServiceID) (keys []mesh.Key) {
	of := func(from *mesh.Snapshot) mesh.Host {
		if x, ok := from.Services.Get(id); ok {
			return x.Alias
		}
		return ""
	}
	was, is := of(before), of(s.Snapshot)
	if was == is {
		return nil
	}
	change := func(h mesh.Host, edit func([]mesh.ServiceID) []mesh.ServiceID) {
		if h == "" {
			return
		}
		list, _ := s.Aliases.Get(h)
		if next := edit(slices.Clone(list)); len(next) > 0 {
			slices.SortFunc(next, mesh.CompareServiceID)
			s.Aliases = s.Aliases.With(h, next)
		} else {
			s.Aliases = s.Aliases.Without(h)
		}
		keys = append(keys, aliasKey(h))
	}
	change(was, func(l []mesh.ServiceID) []mesh.ServiceID {
		return slices.DeleteFunc(l, func(x mesh.ServiceID) bool { return x == id })
	})
	change(is, func(l []mesh.ServiceID) []mesh.ServiceID { return append(l, id) })
	return append(keys, aliasesKey)
}

// follow goes from a name to the service that it stands for.
func (v *View) follow(s *mesh.Service, ok bool) (*mesh.Service, bool) {
	for hops := 0; ok && s.Alias != ""; hops++ {
		if hops == maxAliases {
			return nil, false
		}
		s, ok = v.named(s.Alias)
	}
	return s, ok
}

// Canonical is the host of the service that a host stands for; the host itself where it stands for none.
func (v *View) Canonical(h mesh.Host) mesh.Host {
	if s, ok := v.Resolve(h); ok {
		return s.ID.Host
	}
	return h
}

// Aliases are the services of type ExternalName that stand for a service for the proxy, ordered by host.
func (v *View) Aliases(s *mesh.Service) []mesh.ServiceID {
	return v.aliasesOf(s, s.ID.Host, 0)
}

func (v *View) aliasesOf(s *mesh.Service, h mesh.Host, hops int) (out []mesh.ServiceID) {
	if !v.shape().aliases {
		return nil
	}
	v.r.Read(aliasKey(h))
	list, _ := v.s.Aliases.Get(h)
	for _, id := range list {
		if stands, ok := v.Resolve(id.Host); !ok || stands.ID != s.ID || hops >= maxAliases {
			continue
		}
		out = append(append(out, id), v.aliasesOf(s, id.Host, hops+1)...)
	}
	return out
}

// Stand are the aliases that the proxy knows, each with the service that it stands for, in no order that matters.
func (v *View) Stand() iter.Seq2[*mesh.Service, *mesh.Service] {
	return func(yield func(*mesh.Service, *mesh.Service) bool) {
		v.r.Read(aliasesKey)
		for _, list := range v.s.Aliases.All() {
			for _, id := range list {
				alias, ok := v.named(id.Host)
				if !ok || alias.ID != id || v.reach(id) != imported {
					continue
				}
				if s, ok := v.follow(alias, true); ok && !yield(alias, s) {
					return
				}
			}
		}
	}
}
