package view

import (
	"sync"
	"sync/atomic"

	"github.com/heddle-mesh/heddle/mesh"
)

// hostIndex are the services that are the only ones of their hosts, stand for no other and are seen by everybody: what nearly all are. It is made when a source is asked for so many hosts
// that walking the tables would take longer, and is handed on as long as no service changes.
type hostIndex struct {
	asked atomic.Int32
	once  sync.Once
	plain atomic.Pointer[map[mesh.Host]*mesh.Service]
}

// plainHost is the service of a host, nil where there is more to it, or no index.
func (s *Source) plainHost(h mesh.Host) *mesh.Service {
	m := s.hosts.plain.Load()
	if m == nil {
		if few := max(16, s.Services.Len()/4); int(s.hosts.asked.Add(1)) < few { // to make it takes as long as that many walks
			return nil
		}
		s.hosts.once.Do(func() { s.hosts.plain.Store(s.plainHosts()) })
		m = s.hosts.plain.Load()
	}
	return (*m)[h]
}

func (s *Source) plainHosts() *map[mesh.Host]*mesh.Service {
	out := make(map[mesh.Host]*mesh.Service, s.Services.Len())
	for id, x := range s.Services.All() {
		if _, second := out[id.Host]; second {
			out[id.Host] = nil
			continue
		}
		if out[id.Host] = x; x.Alias != "" || x.ExportTo.Nobody || x.ExportTo.Private || len(x.ExportTo.Namespaces) > 0 {
			out[id.Host] = nil
		}
	}
	for h, ids := range s.Hosts.All() {
		if x := out[h]; x != nil && (len(ids) != 1 || ids[0] != x.ID) {
			out[h] = nil
		}
	}
	return &out
}
