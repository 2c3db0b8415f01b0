package view

import (
	"iter"
	"slices"

	"github.com/heddle-mesh/heddle/mesh"
)

// clientNamesKey is which services go by the names that clients give.
var clientNamesKey = mesh.Key{Noun: mesh.OfDerived, Name: derived{index: "client names"}}

// indexClientNames notes whether a service goes by the names that clients give.
func (s *Source) indexClientNames(id mesh.ServiceID) (changed bool) {
	service, ok := s.Services.Get(id)
	is := ok && service.Resolution == mesh.ClientNames
	i, was := slices.BinarySearchFunc(s.clientNames, id, mesh.CompareServiceID)
	switch {
	case is && !was:
		s.clientNames = slices.Insert(slices.Clone(s.clientNames), i, id)
	case was && !is:
		s.clientNames = slices.Delete(slices.Clone(s.clientNames), i, i+1)
	}
	return is != was
}

// ClientNames are the services of requests that go by the names that clients give, one for each host, ordered by host: those that the proxy sees and can look up.
func (v *View) ClientNames() iter.Seq[*mesh.Service] {
	return func(yield func(*mesh.Service) bool) {
		v.r.Read(clientNamesKey)
		if len(v.s.clientNames) == 0 || !v.Can(mesh.FeatureClientNames) {
			return
		}
		var last mesh.Host
		for _, id := range v.s.clientNames {
			if id.Host == last || v.reach(id) == unknown {
				continue
			}
			last = id.Host
			s, ok := v.Resolve(id.Host)
			if ok && s.Resolution == mesh.ClientNames && slices.ContainsFunc(s.Ports, func(p mesh.Port) bool { return p.Protocol.IsHTTP() }) && !yield(s) {
				return
			}
		}
	}
}
