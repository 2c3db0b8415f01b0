package view

import (
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
)

// shortNames names, in a mesh.Key, the hosts that end alike and may so be short names of the services in a namespace; "" those without a dot, which may be of any.
type shortNames struct{ end string }

func shortKey(end string) mesh.Key {
	return mesh.Key{Noun: mesh.OfDerived, Name: shortNames{end}}
}

// endOf is the namespace that a host names if it is a short name: NAME.NAMESPACE, NAME.NAMESPACE.svc, or below one of them.
func endOf(h mesh.Host) string {
	s := strings.TrimSuffix(string(h), ".svc")
	if i := strings.LastIndexByte(s, '.'); i >= 0 && s[:i] != "*" {
		return s[i+1:]
	}
	return ""
}

// countShort notes a host that came or went.
func countShort(before, after *mesh.Snapshot, h mesh.Host, more map[string]int) {
	_, was := before.Hosts.Get(h)
	_, is := after.Hosts.Get(h)
	switch {
	case is && !was:
		more[endOf(h)]++
	case was && !is:
		more[endOf(h)]--
	}
}

// indexShort brings the counts up to date and gives the keys of what changed.
func (s *Source) indexShort(more map[string]int) (keys []mesh.Key) {
	for end, n := range more {
		had, some := s.short.Get(end)
		if n += had; n == 0 {
			s.short = s.short.Without(end)
		} else {
			s.short = s.short.With(end, n)
		}
		if some != (n > 0) {
			keys = append(keys, shortKey(end))
		}
	}
	return keys
}

// Taken says whether a short name of a service is the host of another one that the proxy knows. Nearly no host ends as one, and then none of them need be looked for.
func (v *View) Taken(h mesh.Host) bool {
	end := endOf(h)
	note(v, mesh.OfDerived, shortNames{end})
	if n, _ := v.s.short.Get(end); n == 0 {
		return false
	}
	_, taken := v.Resolve(h)
	return taken
}
