package compile

import (
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/patch"
	"github.com/heddle-mesh/heddle/control/compile/route"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

// routePart is the type of a virtual host that is compiled to be put into a whole route configuration. It never goes on the wire by itself.
const routePart = "heddle.dev/virtual-host"

// virtualHostsField is the number of RouteConfiguration.virtual_hosts.
const virtualHostsField protowire.Number = 2

// routeConfiguration puts a route configuration together from virtual hosts that are encoded once each: a message is the concatenation of its fields.
func routeConfiguration(v *view.View, n xds.Name, part func(xds.Name) *result) *result {
	var shell *routev3.RouteConfiguration
	var hosts []string
	v.Listing(func() { shell, hosts = route.Compile(v, n.Name) }) // it comes from what its virtual hosts come from
	if shell == nil {
		return &result{absent: true}
	}
	if shell = patch.Routes(v, shell); shell.Vhds == nil {
		hosts = patch.Hosts(v, n.Name, hosts)
	}
	body, err := message.Bytes(shell)
	if err != nil {
		return &result{absent: true}
	}
	out := &result{rare: &rare{parts: make([]*result, 0, len(hosts))}}
	size, domains := len(body), 0
	for _, h := range hosts {
		p := part(xds.Name{TypeURL: routePart, Name: n.Name + "/" + h})
		v.Include(p.resource.Origins, p.more().notices)
		if p.absent {
			continue
		}
		out.parts = append(out.parts, p)
		size, domains = size+len(p.resource.Body)+protowire.SizeTag(virtualHostsField)+protowire.SizeVarint(uint64(len(p.resource.Body))), domains+len(p.resource.Claims)
	}
	body = slices.Grow(body, size-len(body))
	taken := newTextSet(domains)
	for _, p := range out.parts {
		encoded := p.resource.Body
		if clash := taken.add(p.resource.Claims); len(clash) > 0 {
			if encoded = without(p, clash); encoded == nil {
				continue
			}
		}
		body = protowire.AppendTag(body, virtualHostsField, protowire.BytesType)
		body = protowire.AppendBytes(body, encoded)
	}
	out.resource = *xds.FromBytes(n, body, v.Origins()...)
	return out
}

// without is a virtual host without the domains that earlier ones have, since two with one domain would be refused as a whole. Nil: none is left.
func without(p *result, taken []string) []byte {
	h := &routev3.VirtualHost{}
	if err := proto.Unmarshal(p.resource.Body, h); err != nil {
		return nil
	}
	h.Domains = slices.DeleteFunc(h.Domains, func(d string) bool { return slices.Contains(taken, d) })
	if len(h.Domains) == 0 {
		return nil
	}
	b, err := message.Bytes(h)
	if err != nil {
		return nil
	}
	return b
}

// virtualHost is a virtual host with what patches say of it; nil when there is none.
func virtualHost(v *view.View, config, host string) *routev3.VirtualHost {
	h := route.Host(v, config, host)
	if h == nil && len(v.HostPatches(config, host)) > 0 {
		if _, ok := route.Hosts(v, config); !ok {
			return nil // nothing can be added to what is not there
		}
	}
	return patch.Host(v, config, host, h)
}

// hostNames are the resource names of all virtual hosts of a proxy that takes them one by one.
func hostNames(v *view.View) []string {
	if !v.Can(mesh.FeatureVHDS) {
		return nil
	}
	var out []string
	for _, name := range route.Names(v) {
		hosts, _ := route.Hosts(v, name)
		for _, h := range patch.Hosts(v, name, hosts) {
			out = append(out, name+"/"+h)
		}
	}
	return out
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// noticesOf orders problems and leaves each out but once.
func noticesOf(list []mesh.Problem) []mesh.Problem {
	slices.SortStableFunc(list, func(a, b mesh.Problem) int { return strings.Compare(a.String(), b.String()) })
	return slices.CompactFunc(list, func(a, b mesh.Problem) bool { return a == b })
}
