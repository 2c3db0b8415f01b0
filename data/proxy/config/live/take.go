package live

import (
	"fmt"
	"net/netip"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/config/decode"
	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/nds"
)

// read decodes a resource's bytes with a reader of package decode.
func read[M proto.Message, T any](x *xds.Resource, m M, reader func(path string, m M) (*T, error)) (*held[T], error) {
	if err := proto.Unmarshal(x.Body, m); err != nil {
		return nil, fmt.Errorf("it does not decode: %w", err)
	}
	v, err := reader("", m)
	if err != nil {
		return nil, err
	}
	return &held[T]{value: v, res: x, at: time.Now()}, nil
}

// change is one resource that was taken; both functions may be called again and again, in turn.
type change struct {
	name       xds.Name
	undo, redo func()
}

// put stores a value in a map as a change; after is called whenever it was done or undone.
func put[T any](name xds.Name, m map[string]*held[T], key string, h *held[T], after func(*held[T])) *change {
	former := m[key]
	c := &change{name: name}
	c.redo = func() {
		m[key] = h
		after(h)
	}
	c.undo = func() {
		if former == nil {
			delete(m, key)
		} else {
			m[key] = former
		}
		after(former)
	}
	c.redo()
	return c
}

// take decodes a resource and puts it where reconcile finds it. An error leaves everything as it was. The change is nil for what is judged later or cannot fail any more.
func (l *Live) take(typeURL string, x *xds.Resource) (*change, error) {
	d, name := l.opts.Decoder, x.Name.Name
	switch typeURL {
	case xds.Listener:
		h, err := read(x, &listenerv3.Listener{}, d.Listener)
		if err != nil {
			return nil, err
		}
		return nil, wait(l.listeners, "listener", name, h)
	case xds.Cluster:
		h, err := read(x, &clusterv3.Cluster{}, d.Cluster)
		if err != nil {
			return nil, err
		}
		h.value.Version = x.Version
		return nil, wait(l.clusters, "cluster", name, h)
	case xds.Endpoints:
		h, err := read(x, &endpointv3.ClusterLoadAssignment{}, d.Assignment)
		if err != nil {
			return nil, err
		}
		h.value.Version = x.Version
		return put(x.Name, l.assignments, name, h, func(*held[config.Assignment]) {}), nil
	case xds.Route:
		h, err := read(x, &routev3.RouteConfiguration{}, d.RouteTable)
		if err != nil {
			return nil, err
		}
		if h.value.VHDS && !l.vhds {
			return nil, fmt.Errorf("vhds: virtual hosts come one by one over delta xDS only, which this proxy does not use")
		}
		return put(x.Name, l.tables, name, h, func(*held[config.RouteTable]) { delete(l.built, name) }), nil
	case xds.VirtualHost:
		return l.takeHost(x)
	case xds.Secret:
		h, err := read(x, &tlsv3.Secret{}, d.Secret)
		if err != nil {
			return nil, err
		}
		l.secrets[name] = h
		l.opts.Secret(name, h.value)
		return nil, nil
	case xds.NameTable:
		return nil, l.takeNames(x)
	}
	return nil, fmt.Errorf("type %s was not asked for", typeURL)
}

func wait[T any](slots map[string]*slot[T], kind, name string, h *held[T]) error {
	s := slots[name]
	if s == nil {
		s = &slot[T]{}
		slots[name] = s
	}
	if s.live != nil && s.live.static || s.next != nil && s.next.static {
		return errStatic(kind, name)
	}
	s.next, s.since = h, time.Now()
	return nil
}

// takeHost stores a virtual host of ROUTE/HOST. A domain belongs to one host of a table.
func (l *Live) takeHost(x *xds.Resource) (*change, error) {
	route, ok := xds.RouteOf(x.Name.Name)
	if !ok {
		return nil, fmt.Errorf("the name %q has no route configuration in front (want ROUTE/HOST)", x.Name.Name)
	}
	h, err := read(x, &routev3.VirtualHost{}, l.opts.Decoder.VirtualHost)
	if err != nil {
		return nil, err
	}
	if l.hosts[route] == nil {
		l.hosts[route] = map[string]*held[config.VirtualHost]{}
	}
	return put(x.Name, l.hosts[route], x.Name.Name, h, func(*held[config.VirtualHost]) { delete(l.built, route) }), nil
}

func (l *Live) takeNames(x *xds.Resource) error {
	t, err := nds.Unmarshal(x.Body)
	if err != nil {
		return err
	}
	for name, h := range t {
		for _, ip := range h.IPs {
			if _, err := netip.ParseAddr(ip); err != nil {
				return fmt.Errorf("table[%q].ips: %q is not an IP address", name, ip)
			}
		}
	}
	l.names = &held[nds.Table]{value: &t, res: x, at: time.Now()}
	l.opts.Names(t)
	l.resolveAgain()
	return nil
}

// drop takes a removal. For what others wait for it counts as an answer: there is none.
func (l *Live) drop(typeURL, name string) {
	now := time.Now()
	switch typeURL {
	case xds.Listener:
		if s := l.listeners[name]; s != nil && !s.static() {
			delete(l.listeners, name)
		}
	case xds.Cluster:
		if s := l.clusters[name]; s != nil && !s.static() {
			delete(l.clusters, name)
		}
	case xds.Endpoints:
		l.assignments[name] = &held[config.Assignment]{at: now}
	case xds.Route:
		l.tables[name] = &held[config.RouteTable]{at: now}
		l.forgetHosts(name)
	case xds.VirtualHost:
		if route, ok := xds.RouteOf(name); ok {
			delete(l.hosts[route], name)
			delete(l.built, route)
		}
	case xds.Secret:
		if s := l.secrets[name]; s == nil || !s.static {
			l.secrets[name] = &held[config.SecretRef]{at: now}
			l.opts.Secret(name, nil)
		}
	case xds.NameTable:
		l.names = nil
		l.opts.Names(nil)
	}
}

func (s *slot[T]) static() bool {
	return s.live != nil && s.live.static || s.next != nil && s.next.static
}

// raw is a static resource in its encoded form, for dumps.
func raw(typeURL, name string, b *decode.Bootstrap, i int) *xds.Resource {
	if b.Message == nil {
		return nil
	}
	s := b.Message.GetStaticResources()
	var m proto.Message
	switch typeURL {
	case xds.Listener:
		m = s.GetListeners()[i]
	case xds.Cluster:
		for _, c := range s.GetClusters() {
			if c.GetName() == name {
				m = c
			}
		}
	}
	if m == nil {
		return nil
	}
	x, err := xds.New(xds.Name{TypeURL: typeURL, Name: name}, m)
	if err != nil {
		return nil
	}
	return x
}
