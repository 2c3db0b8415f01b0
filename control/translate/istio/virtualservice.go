package istio

import (
	"fmt"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/note"
	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
)

// virtualServiceFields are honoured; every other populated field gives a Problem, and where the rule would do something else without it, the rule is dropped.
var virtualServiceFields = api.Fields(
	"hosts", "gateways", "exportTo",
	"http[].name", "http[].timeout", "http[].redirect.*", "http[].directResponse.*", "http[].rewrite.*", "http[].retries.*",
	"http[].match[].name", "http[].match[].uri.*", "http[].match[].scheme.*", "http[].match[].method.*", "http[].match[].authority.*",
	"http[].match[].headers.*", "http[].match[].withoutHeaders.*", "http[].match[].queryParams.*", "http[].match[].ignoreUriCase",
	"http[].match[].port", "http[].match[].statPrefix", "http[].match[].sourceLabels", "http[].match[].sourceNamespace", "http[].match[].gateways",
	"http[].route[].*", "http[].headers.*", "http[].delegate.*",
	"http[].mirror.*", "http[].mirrors[].*", "http[].mirrorPercentage.*", "http[].mirrorPercent",
	"http[].corsPolicy.*",
	"http[].fault.*",
	"tcp[].match[].destinationSubnets", "tcp[].match[].port", "tcp[].match[].sourceLabels", "tcp[].match[].sourceNamespace", "tcp[].match[].sourceSubnet", "tcp[].match[].gateways",
	"tcp[].route[].*",
	"tls[].match[].sniHosts", "tls[].match[].destinationSubnets", "tls[].match[].port", "tls[].match[].sourceLabels", "tls[].match[].sourceNamespace",
	"tls[].match[].gateways", "tls[].route[].*",
)

// VirtualService gives the route that a VirtualService describes, or nil when the object is broken, or a delegate. Problems may be about the delegates that it includes.
func VirtualService(o api.Object, in Lookup) (*mesh.Route, []mesh.Problem) {
	spec, ok := o.Spec.(*networking.VirtualService)
	if !ok {
		return nil, nil
	}
	v := open(o, in)
	v.check(virtualServiceFields, nil)
	r := &mesh.Route{Origin: o.Ref(), Created: o.Meta.Created, ExportTo: v.exportTo(spec.ExportTo)}
	if len(spec.Hosts) == 0 {
		v.delegateRules(spec)
		return nil, v.Problems()
	}
	r.Merge = v.merges()
	v.routeHosts(r, spec)
	v.routeGateways(r, spec)
	if len(spec.Http)+len(spec.Tcp)+len(spec.Tls) == 0 {
		v.Add(mesh.CodeInvalid, "spec", "give at least one of http, tcp and tls", "the object has no rule")
	}
	for i, h := range spec.Http {
		path := at("spec.http", i)
		if h == nil {
			v.Invalid(path, "the rule is empty")
			continue
		}
		rule, ok := v.httpRule(h, spec, path)
		switch {
		case !ok:
		case h.Delegate != nil:
			r.HTTP = append(r.HTTP, v.include(rule, h.Delegate, path)...)
		default:
			r.HTTP = append(r.HTTP, rule)
		}
	}
	for i, t := range spec.Tcp {
		if rule, ok := v.tcpRule(t, at("spec.tcp", i)); ok {
			r.TCP = append(r.TCP, rule)
		}
	}
	for i, t := range spec.Tls {
		if rule, ok := v.tlsRule(t, r.Hosts, at("spec.tls", i)); ok {
			r.TLS = append(r.TLS, rule)
		}
	}
	v.boundRoutes(r)
	if v.Broken() {
		return nil, v.Problems()
	}
	return r, append(v.Problems(), v.elsewhere...)
}

// maxRoutes bounds the routes that one object asks of a proxy: its hosts and the matches of its rules multiply.
const maxRoutes = 100_000

func (v *visit) boundRoutes(r *mesh.Route) {
	matches := 0
	for i := range r.HTTP {
		matches += max(1, len(r.HTTP[i].Matches))
	}
	for i := range r.TLS {
		matches += max(1, len(r.TLS[i].Matches))
	}
	if n := len(r.Hosts) * matches; n > maxRoutes {
		v.Add(mesh.CodeInvalid, "spec.hosts", "spread the hosts over several objects, or match less finely", "%d hosts with %d matches each are %d routes, and one object may have %d", len(r.Hosts), matches, n, maxRoutes)
	}
}

// mergeMark lets a VirtualService count together with others for one host of the mesh (docs/decisions/025).
const mergeMark = "heddle.dev/merge"

func (v *visit) merges() bool {
	said := v.obj.Meta.Annotations[mergeMark]
	if said != "" && said != "true" && said != "false" {
		v.Invalid(keyed("metadata.annotations", mergeMark), "%q is neither true nor false", shorten(said))
	}
	return said == "true"
}

func (v *visit) routeHosts(r *mesh.Route, spec *networking.VirtualService) {
	seen := make(map[mesh.Host]bool, len(spec.Hosts))
	for i, s := range spec.Hosts {
		h, ok := v.host(s, at("spec.hosts", i))
		if !ok {
			continue
		}
		if seen[h] {
			v.Invalid(at("spec.hosts", i), "host %s is given twice", h)
			continue
		}
		seen[h] = true
		r.Hosts = append(r.Hosts, h)
		if s, ok := v.in.Service(h, v.ns); ok && s.ID.Host == h && (len(spec.Gateways) == 0 || slices.Contains(spec.Gateways, meshGateway)) {
			v.alias(s, at("spec.hosts", i))
		}
	}
}

func (v *visit) routeGateways(r *mesh.Route, spec *networking.VirtualService) {
	r.Mesh = len(spec.Gateways) == 0
	for i, g := range spec.Gateways {
		if g == meshGateway {
			r.Mesh = true
			continue
		}
		id := gatewayID(g, v.ns)
		if !dnsLabel(string(id.Namespace)) || id.Name == "" || strings.Contains(id.Name, "/") {
			v.Invalid(at("spec.gateways", i), "%q is not NAMESPACE/NAME or NAME of a Gateway", g)
			continue
		}
		if !v.in.Gateway(id) {
			v.NotFound(at("spec.gateways", i), "", "there is no Gateway %s in namespace %s", id.Name, id.Namespace)
		}
		if !slices.Contains(r.Gateways, id) {
			r.Gateways = append(r.Gateways, id)
		}
	}
	if r.Mesh && slices.Contains(spec.Hosts, "*") {
		v.Add(mesh.CodeInvalid, "spec.hosts", "name the hosts, or set gateways", `host "*" is allowed only at gateways, not for the sidecars of the mesh`)
	}
}

// matchGateways reads the gateways of one match, which must be among those of the object.
func (v *visit) matchGateways(list []string, spec *networking.VirtualService, path string) (ids []mesh.GatewayID, onMesh, ok bool) {
	for i, g := range list {
		if g == meshGateway {
			onMesh = true
		} else {
			ids = append(ids, gatewayID(g, v.ns))
		}
		if spec == nil {
			continue
		}
		known := len(spec.Gateways) == 0 && g == meshGateway || slices.ContainsFunc(spec.Gateways, func(x string) bool {
			return x == g || x != meshGateway && g != meshGateway && gatewayID(x, v.ns) == gatewayID(g, v.ns)
		})
		if !known {
			v.Add(mesh.CodeInvalid, at(path, i), "add it to spec.gateways", "gateway %s is not among the gateways of the object, so this match can never apply", g)
		}
	}
	return ids, onMesh, true
}

// drops says whether an unhonoured field at or below path makes a rule or match do something else.
func (v *visit) drops(path string) bool {
	return slices.ContainsFunc(v.unhonoured, func(p string) bool { return note.Under(p, path) })
}

// dropped says why a rule is gone.
func (v *visit) dropped(path, what string) {
	v.NotEnforced(path, "%s is left out, because without the field above it would do something else", what)
}

// alias says that a Service of type ExternalName has no rules of its own.
func (v *visit) alias(s *mesh.Service, path string) {
	if s != nil && s.Alias != "" {
		v.Add(mesh.CodeNotEnforced, path, "write the rule for "+string(s.Alias), "%s is another name of %s, whose rules count for it", s.Origin, s.Alias)
	}
}

// maxAliases bounds how many Services of type ExternalName stand for each other in a row.
const maxAliases = 8

// backend reads a destination. What cannot be found stays, and answers 503.
func (v *visit) backend(d *networking.Destination, path string) mesh.Backend {
	b := mesh.Backend{Subset: d.GetSubset()}
	h, ok := v.host(d.GetHost(), path+".host")
	if !ok {
		return b
	}
	if h == "*" { // a narrower wildcard may be the host of a ServiceEntry
		v.Invalid(path+".host", "a destination cannot be every host")
	}
	b.Host = h
	if p := d.GetPort(); p != nil {
		b.Port = v.port(p.Number, path+".port.number")
	}
	svc, found := v.in.Service(h, v.ns)
	for hops := 0; found && svc.Alias != "" && hops < maxAliases; hops++ { // what it stands for is meant
		h = svc.Alias
		svc, found = v.in.Service(h, v.ns)
	}
	b.Host = h
	if !found || svc.Alias != "" {
		hint := ""
		if long := mesh.Host(string(h) + ".svc." + domain(v.in)); strings.Count(string(h), ".") == 1 {
			if _, ok := v.in.Service(long, v.ns); ok {
				hint = "write " + string(long)
			}
		}
		b.Invalid = fmt.Sprintf("no service has the host %s", h)
		v.NotFound(path+".host", hint, "%s that namespace %s sees; requests to it are answered with 503", b.Invalid, v.ns)
		return b
	}
	b.Service = svc.ID
	if _, ok := svc.Port(b.Port); b.Port != 0 && !ok && len(svc.Ports) > 0 {
		b.Invalid = fmt.Sprintf("service %s has no port %d", h, b.Port)
		v.NotFound(path+".port.number", "its ports are "+portList(svc), "%s; requests to it are answered with 503", b.Invalid)
		return b
	}
	if b.Subset != "" && !v.in.Subset(h, b.Subset, v.ns) {
		b.Invalid = fmt.Sprintf("no DestinationRule defines subset %s of %s", b.Subset, h)
		v.NotFound(path+".subset", "define it in a DestinationRule's subsets", "%s; requests to it are answered with 503", b.Invalid)
	}
	return b
}

func portList(svc *mesh.Service) string {
	var s []string
	for _, p := range svc.Ports {
		s = append(s, fmt.Sprint(p.Number))
	}
	return strings.Join(s, ", ")
}
