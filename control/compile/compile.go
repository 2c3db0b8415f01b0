package compile

import (
	"slices"
	"strconv"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/control/compile/endpoint"
	"github.com/heddle-mesh/heddle/control/compile/listener"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/nametable"
	"github.com/heddle-mesh/heddle/control/compile/patch"
	"github.com/heddle-mesh/heddle/control/compile/route"
	"github.com/heddle-mesh/heddle/control/compile/secret"
	"github.com/heddle-mesh/heddle/control/compile/upstream"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/xds"
)

// compute compiles one name. An empty name is the list of names of its type.
func compute(s *view.Source, n xds.Name, r *view.Reader, part func(xds.Name) *result) *result {
	v := view.New(s, r)
	defer v.Done()
	if n.Name == "" {
		out := &result{list: true, rare: &rare{}}
		v.Listing(func() { out.names = list(v, n.TypeURL) })
		return told(v, out)
	}
	if n.TypeURL == xds.NameTable {
		if n.Name != nametable.Name {
			return &result{absent: true}
		}
		return &result{resource: *xds.FromBytes(n, nametable.Compile(v))}
	}
	if n.TypeURL == xds.Endpoints {
		return assignment(v, n)
	}
	if n.TypeURL == xds.Route {
		return told(v, routeConfiguration(v, n, part))
	}
	m, claims := compiled(v, n)
	if m == nil {
		return told(v, &result{absent: true})
	}
	body, err := message.Bytes(m)
	done(m)
	if err != nil { // a string that is not UTF-8, which the parsers do not let through: nothing is better than half of it
		return told(v, &result{absent: true})
	}
	out := &result{resource: *xds.FromBytes(n, body, v.Origins()...)}
	out.resource.Claims = claims
	return told(v, out)
}

// assignment compiles endpoints, whose bytes are put together from parts.
func assignment(v *view.View, n xds.Name) *result {
	body, ok := endpoint.Encode(v, n.Name)
	if !ok {
		return told(v, &result{absent: true})
	}
	return told(v, &result{resource: *xds.FromBytes(n, body, v.Origins()...)})
}

// told notes what is to be told of a result, and which patches were looked at.
func told(v *view.View, r *result) *result {
	tried, applied := v.Trials()
	if len(v.Notices())+len(tried)+len(applied) == 0 {
		return r
	}
	if r.rare == nil {
		r.rare = &rare{}
	}
	r.notices, r.tried, r.applied = noticesOf(v.Notices()), tried, applied
	return r
}

// list is empty for types that are asked for by name.
func list(v *view.View, typeURL string) []string {
	switch typeURL {
	case xds.Cluster:
		return sorted(patch.Added(v, view.Clusters, upstream.Names(v)))
	case xds.Listener:
		v.Try() // whoever has listeners has all the rest
		return sorted(patch.Added(v, view.Listeners, listener.Names(v)))
	case xds.Route:
		return sorted(route.Names(v))
	case xds.VirtualHost:
		return sorted(hostNames(v))
	case xds.NameTable:
		return []string{nametable.Name}
	}
	return nil
}

func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// compiled is one resource, with what no other resource of its type may have at the same time.
func compiled(v *view.View, n xds.Name) (proto.Message, []string) {
	switch n.TypeURL {
	case xds.Cluster:
		return present(patch.Cluster(v, n.Name, upstream.Compile(v, n.Name))), nil
	case xds.Listener:
		l := patch.Listener(v, n.Name, listener.Compile(v, n.Name), func() []*listenerv3.Filter { return listener.Nowhere(v) })
		return present(l), addresses(l)
	case routePart:
		config, host, _ := cutLast(n.Name)
		h := virtualHost(v, config, host)
		return present(h), h.GetDomains() // of one route configuration, so that its name need not stand before them
	case xds.VirtualHost:
		config, host, ok := cutLast(n.Name)
		if !ok {
			return nil, nil
		}
		h := virtualHost(v, config, host)
		if h != nil {
			h.Name = n.Name // stock Envoy needs the resource's name to remove it
		}
		return present(h), domains(n.Name, h)
	case xds.Secret:
		return present(secret.Compile(v, n.Name)), nil
	case xds.Extension:
		return present(patch.Extension(v, n.Name)), nil
	}
	return nil, nil
}

// done gives back what is encoded and will not be looked at again.
func done(m proto.Message) {
	switch m := m.(type) {
	case *clusterv3.Cluster:
		upstream.Done(m)
	case *routev3.VirtualHost:
		route.Done(m)
	}
}

// present turns a nil pointer into a nil message.
func present[M interface {
	*clusterv3.Cluster | *listenerv3.Listener | *routev3.VirtualHost | *tlsv3.Secret | *corev3.TypedExtensionConfig
	proto.Message
}](m M) proto.Message {
	if m == nil {
		return nil
	}
	return m
}

func addresses(l *listenerv3.Listener) []string {
	if l.GetAddress() == nil {
		return nil
	}
	out := []string{socket(l.Address)}
	for _, a := range l.AdditionalAddresses {
		out = append(out, socket(a.Address))
	}
	return out
}

func socket(a *corev3.Address) string {
	if s := a.GetSocketAddress(); s.GetProtocol() == corev3.SocketAddress_UDP {
		return "udp " + s.GetAddress() + " " + strconv.Itoa(int(s.GetPortValue()))
	}
	return a.GetSocketAddress().GetAddress() + " " + strconv.Itoa(int(a.GetSocketAddress().GetPortValue()))
}

func domains(resource string, h *routev3.VirtualHost) []string {
	config, _ := xds.RouteOf(resource)
	return message.Affixed(config+"/", h.GetDomains(), "")
}
