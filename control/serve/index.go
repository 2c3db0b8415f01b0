package serve

import (
	"time"

	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/session"
)

// join makes a stream known.
func (s *Server) join(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
}

// leave takes a stream out of every index.
func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	for n := range c.names {
		s.drop(n, c)
	}
	for url := range c.types {
		delete(s.byType[url], c)
		if len(s.byType[url]) == 0 {
			delete(s.byType, url)
		}
	}
}

// index follows what a request subscribed to. It comes before the session looks at the store, so that no change falls between.
func (s *Server) index(c *conn, url string, out session.Outcome) {
	_, wild := c.types[url]
	if len(out.Subscribed) == 0 && len(out.Unsubscribed) == 0 && wild == out.Wildcard {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range out.Subscribed {
		n := xds.Name{TypeURL: url, Name: name}
		if s.byName[n] == nil {
			s.byName[n] = map[*conn]struct{}{}
		}
		s.byName[n][c] = struct{}{}
		c.names[n] = struct{}{}
	}
	for _, name := range out.Unsubscribed {
		n := xds.Name{TypeURL: url, Name: name}
		delete(c.names, n)
		s.drop(n, c)
	}
	switch {
	case out.Wildcard && !wild:
		if s.byType[url] == nil {
			s.byType[url] = map[*conn]struct{}{}
		}
		s.byType[url][c] = struct{}{}
		c.types[url] = struct{}{}
	case !out.Wildcard && wild:
		delete(s.byType[url], c)
		delete(c.types, url)
	}
}

// drop needs mu.
func (s *Server) drop(n xds.Name, c *conn) {
	delete(s.byName[n], c)
	if len(s.byName[n]) == 0 {
		delete(s.byName, n)
	}
}

// note adds changes that the stream must look at. It needs the server's mu.
func (c *conn) note(since time.Time, changes []Change) {
	c.touched(since)
	if c.everything {
		return
	}
	c.pending = append(c.pending, changes)
	c.pendingN += len(changes)
	if c.pendingN > mostPending {
		c.pending, c.pendingN, c.everything = nil, 0, true
	}
}

func (c *conn) touched(since time.Time) {
	if c.changedSince.IsZero() || since.Before(c.changedSince) {
		c.changedSince = since
	}
}

// take hands the stream what is served now and what it must look at since the last time.
func (s *Server) take(c *conn) (now *publication, pending [][]Change, everything bool, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, pending, everything, since = s.now, c.pending, c.everything, c.changedSince
	c.pending, c.pendingN, c.everything, c.changedSince = nil, 0, false, time.Time{}
	return now, pending, everything, since
}
