package view

import (
	"maps"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
)

// portChange is what becomes of a port's list of services.
type portChange struct{ gone, come []mesh.ServiceID } // both ordered

// portChanges are the ports of which something changed: the list, or (with an empty change) only what the services in it are.
type portChanges map[uint16]*portChange

func (c portChanges) at(p uint16) *portChange {
	x := c[p]
	if x == nil {
		x = &portChange{}
		c[p] = x
	}
	return x
}

// compare notes the ports that a service has lost, got and kept. The other services of its host may stand in its place, so something changes at their ports too.
func (c portChanges) compare(before, after *mesh.Snapshot, id mesh.ServiceID) {
	had, has := portsOf(before, id), portsOf(after, id)
	for i, p := range had {
		x := c.at(p.Number)
		if !hasPort(has, p.Number) && !hasPort(had[:i], p.Number) {
			x.gone = append(x.gone, id)
		}
	}
	for i, p := range has {
		x := c.at(p.Number)
		if !hasPort(had, p.Number) && !hasPort(has[:i], p.Number) {
			x.come = append(x.come, id)
		}
	}
	for _, s := range []*mesh.Snapshot{before, after} {
		ids, _ := s.Hosts.Get(id.Host)
		if len(ids) < 2 {
			continue
		}
		for _, other := range ids {
			for _, p := range portsOf(s, other) {
				c.at(p.Number)
			}
		}
	}
}

func portsOf(s *mesh.Snapshot, id mesh.ServiceID) []mesh.Port {
	if x, ok := s.Services.Get(id); ok {
		return x.Ports
	}
	return nil
}

func hasPort(list []mesh.Port, number uint16) bool {
	return slices.ContainsFunc(list, func(p mesh.Port) bool { return p.Number == number })
}

// indexPorts brings the lists up to date and gives the keys of what changed.
func (s *Source) indexPorts(changes portChanges) (keys []mesh.Key) {
	some := false
	for p, c := range changes {
		keys = append(keys, portKey(p))
		if len(c.gone)+len(c.come) == 0 {
			continue
		}
		ids, had := s.Ports.Get(p)
		next := make([]mesh.ServiceID, 0, len(ids)+len(c.come))
		for _, id := range ids {
			if _, gone := slices.BinarySearchFunc(c.gone, id, mesh.CompareServiceID); !gone {
				next = append(next, id)
			}
		}
		next = append(next, c.come...)
		slices.SortFunc(next, mesh.CompareServiceID)
		if len(next) > 0 {
			s.Ports = s.Ports.With(p, next)
		} else {
			s.Ports = s.Ports.Without(p)
		}
		some = some || had != (len(next) > 0)
	}
	if some {
		keys = append(keys, portsKey)
	}
	return keys
}

// indexEndpoints brings up to date what is known of the endpoints of services, and gives those of which the accounts changed.
func (s *Source) indexEndpoints(ids []mesh.ServiceID) (changed []mesh.ServiceID) {
	if s.parts.Len() == 0 && s.Accounts.Len() == 0 { // the first ones come all together
		accounts, parts := mesh.NewBuilder[mesh.ServiceID, string](mesh.CompareServiceID), mesh.NewBuilder[mesh.ServiceID, *Parts](mesh.CompareServiceID)
		for _, id := range ids {
			set, _ := s.Endpoints.Get(id)
			parts.Add(id, (*Parts)(nil).next(set.Endpoints, nil, s.encoded))
			if after := accountsOf(set.Endpoints); after != "" {
				accounts.Add(id, after)
				changed = append(changed, id)
			}
		}
		s.Accounts, s.parts = accounts.Table(), parts.Table()
		return changed
	}
	for _, id := range ids {
		set, ok := s.Endpoints.Get(id)
		if !ok {
			s.parts = s.parts.Without(id)
			set = &mesh.EndpointSet{}
		} else {
			old, _ := s.parts.Get(id)
			s.parts = s.parts.With(id, old.next(set.Endpoints, portsOf(s.Snapshot, id), s.encoded))
		}
		before, _ := s.Accounts.Get(id)
		after := accountsOf(set.Endpoints)
		if before == after {
			continue
		}
		changed = append(changed, id)
		if after == "" {
			s.Accounts = s.Accounts.Without(id)
		} else {
			s.Accounts = s.Accounts.With(id, after)
		}
	}
	return changed
}

// accountsOf are the identities of endpoints, ordered, one a line.
func accountsOf(endpoints []*mesh.Endpoint) string {
	var first *mesh.Endpoint
	var more map[string]struct{}
	for _, e := range endpoints {
		switch {
		case e.Identity.IsZero():
		case first == nil:
			first = e
		case e.Identity != first.Identity:
			if more == nil {
				more = map[string]struct{}{first.Identity.String(): {}}
			}
			more[e.Identity.String()] = struct{}{}
		}
	}
	if more != nil {
		return strings.Join(slices.Sorted(maps.Keys(more)), "\n")
	}
	if first != nil {
		return first.Identity.String()
	}
	return ""
}
