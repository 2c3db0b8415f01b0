package route

import (
	"sync/atomic"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Set is all route tables by name. Apply is called by one goroutine at a time, Table by anyone.
type Set struct {
	current atomic.Pointer[map[string]*Table]
}

// Apply takes over the tables of a configuration; a table that is the same value is not prepared again.
func (s *Set) Apply(tables map[string]*config.RouteTable) {
	old := s.current.Load()
	next := make(map[string]*Table, len(tables))
	for name, c := range tables {
		if old != nil {
			if t := (*old)[name]; t != nil && t.Config == c {
				next[name] = t
				continue
			}
		}
		next[name] = New(c)
	}
	s.current.Store(&next)
}

// Table finds a table by name, nil if there is none.
func (s *Set) Table(name string) *Table {
	m := s.current.Load()
	if m == nil {
		return nil
	}
	return (*m)[name]
}
