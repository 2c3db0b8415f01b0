package live

import (
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// builtTable is the published form of a route configuration.
type builtTable struct {
	from  *held[config.RouteTable]
	table *config.RouteTable
}

// build assembles a configuration. What did not change is shared with the one in force, by pointer; nil when nothing changed at all.
func (l *Live) build() *config.Config {
	old := l.current.Load()
	next := &config.Config{Routes: map[string]*config.RouteTable{}, Clusters: make(map[string]*config.Cluster, len(l.clusters))}
	same := true
	for name, s := range l.clusters {
		if s.live == nil {
			continue
		}
		c := l.buildCluster(s)
		next.Clusters[name] = c
		same = same && old.Clusters[name] == c
	}
	for _, name := range sortedKeys(l.listeners) {
		if s := l.listeners[name]; s.live != nil {
			next.Listeners = append(next.Listeners, s.live.value)
		}
	}
	same = same && len(next.Listeners) == len(old.Listeners) && len(next.Clusters) == len(old.Clusters)
	for i := range next.Listeners {
		same = same && next.Listeners[i] == old.Listeners[i]
	}
	for name, t := range l.tables {
		if t.value == nil {
			continue
		}
		table := l.buildTable(name, t)
		next.Routes[name] = table
		same = same && old.Routes[name] == table
	}
	if same && len(next.Routes) == len(old.Routes) {
		return nil
	}
	return next
}

// buildCluster gives a cluster its endpoints. A change of endpoints copies the cluster's head and nothing else.
func (l *Live) buildCluster(s *slot[config.Cluster]) *config.Cluster {
	c := s.live.value
	endpoints := c.Assignment
	switch c.Type {
	case config.EDS:
		endpoints = nil
		if a := l.assignments[c.ServiceName]; a != nil {
			endpoints = a.value
		}
	case config.StrictDNS, config.LogicalDNS:
		if r := l.resolving[c.Name]; r != nil {
			endpoints = r.found()
		}
	}
	if s.built != nil && s.builtLive == s.live && s.from == endpoints {
		return s.built
	}
	built := *c
	built.Endpoints = endpoints
	s.built, s.builtLive, s.from = &built, s.live, endpoints
	return s.built
}

// buildTable gives a route configuration its virtual hosts, in the order of their names.
func (l *Live) buildTable(name string, t *held[config.RouteTable]) *config.RouteTable {
	if b := l.built[name]; b != nil && b.from == t {
		return b.table
	}
	table := t.value
	if table.VHDS {
		whole := *table
		whole.Hosts = append([]*config.VirtualHost(nil), table.Hosts...)
		hosts := l.hosts[name]
		for _, n := range sortedKeys(hosts) {
			whole.Hosts = append(whole.Hosts, hosts[n].value)
		}
		table = &whole
	}
	l.built[name] = &builtTable{from: t, table: table}
	return table
}
