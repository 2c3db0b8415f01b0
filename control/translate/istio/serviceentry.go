package istio

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
)

// serviceEntryFields are honoured.
var serviceEntryFields = api.Fields("hosts", "addresses", "ports[].*", "location", "resolution=NONE|STATIC|DNS|DNS_ROUND_ROBIN|DYNAMIC_DNS", "endpoints[].*",
	"workloadSelector.labels", "exportTo", "subjectAltNames")

// Entry is what a ServiceEntry defines.
type Entry struct {
	Services []*mesh.Service // one for each host
	// Endpoints are those that the object lists itself, with a port for each port of the services.
	Endpoints []*mesh.Endpoint
	// Selector selects the namespace's Pods and WorkloadEntries as endpoints; nil when the object has none.
	Selector mesh.Labels
	// Written are the addresses that were given to the hosts before, as the object's status says.
	Written map[mesh.ServiceID][]netip.Addr
}

// ServiceEntry gives the services that a ServiceEntry defines, or nil when the object is broken.
func ServiceEntry(o api.Object, in Lookup) (*Entry, []mesh.Problem) {
	spec, ok := o.Spec.(*networking.ServiceEntry)
	if !ok {
		return nil, nil
	}
	v := open(o, in)
	v.check(serviceEntryFields, nil)
	e := &Entry{Selector: spec.GetWorkloadSelector().GetLabels()}
	proto := mesh.Service{
		Created: o.Meta.Created, External: spec.Location == networking.ServiceEntry_MESH_EXTERNAL, ExportTo: v.withinReach(v.exportTo(spec.ExportTo), len(spec.ExportTo) > 0),
		Selector: e.Selector, SubjectAltNames: slices.Clone(spec.SubjectAltNames), Labels: o.Meta.Labels, ShortName: o.Meta.Name, Registry: "External", Origin: o.Ref(),
	}
	v.entryResolution(&proto, spec)
	v.entryReach(o, &proto)
	v.entryDistribution(o, &proto)
	v.entryPorts(&proto, spec)
	v.entryAddresses(&proto, spec)
	v.entryUnaddressed(o, &proto)
	for i, s := range spec.Hosts {
		v.entryHost(e, proto, s, spec, at("spec.hosts", i))
	}
	if len(spec.Hosts) == 0 {
		v.Invalid("spec.hosts", "the object has no host")
	}
	if n := len(spec.Hosts) * len(spec.Ports); n > maxServicePorts {
		v.Add(mesh.CodeInvalid, "spec.hosts", "spread the hosts over several objects, each with the ports that its hosts serve", "%d hosts with %d ports each are %d destinations for every proxy, and one object may have %d",
			len(spec.Hosts), len(spec.Ports), n, maxServicePorts)
	}
	for i, w := range spec.Endpoints {
		if proto.Resolution == mesh.ClientNames {
			break
		}
		if ep := v.entryEndpoint(w, proto, at("spec.endpoints", i)); ep != nil {
			e.Endpoints = append(e.Endpoints, ep)
		}
	}
	if v.Broken() {
		return nil, v.Problems()
	}
	if proto.Resolution == mesh.ClientNames {
		e.Selector = nil
	}
	e.Written = written(o)
	return e, v.Problems()
}

// maxServicePorts bounds what one object gives every proxy that sees it: hosts and ports multiply.
const maxServicePorts = 4096

func (v *visit) entryResolution(s *mesh.Service, spec *networking.ServiceEntry) {
	switch spec.Resolution {
	case networking.ServiceEntry_NONE:
		s.Resolution = mesh.PassthroughDest
		if len(spec.Endpoints) > 0 || spec.WorkloadSelector != nil {
			v.Add(mesh.CodeInvalid, "spec.resolution", "set resolution: STATIC", "with resolution NONE requests go where they were sent, so there can be no endpoints")
		}
	case networking.ServiceEntry_STATIC:
		s.Resolution = mesh.Static
		if len(spec.Endpoints) == 0 && spec.WorkloadSelector == nil {
			v.NotFound("spec.endpoints", "give endpoints or workloadSelector", "the service has no endpoint")
		}
	case networking.ServiceEntry_DNS:
		s.Resolution = mesh.DNS
	case networking.ServiceEntry_DNS_ROUND_ROBIN:
		s.Resolution = mesh.DNSRoundRobin
		if len(spec.Endpoints) > 1 {
			v.Invalid("spec.endpoints", "resolution DNS_ROUND_ROBIN can have one endpoint, not %d", len(spec.Endpoints))
		}
	case networking.ServiceEntry_DYNAMIC_DNS:
		s.Resolution = mesh.ClientNames
		if len(spec.Endpoints) > 0 || spec.WorkloadSelector != nil {
			v.NotEnforced("spec.endpoints", "with resolution DYNAMIC_DNS requests go to the host that they name, so endpoints have no effect")
		}
	}
	if spec.WorkloadSelector != nil && len(spec.Endpoints) > 0 {
		v.Invalid("spec.workloadSelector", "only one of endpoints and workloadSelector may be given")
	}
	if spec.WorkloadSelector != nil && len(spec.WorkloadSelector.Labels) == 0 {
		v.Invalid("spec.workloadSelector.labels", "the selector has no labels")
	}
}

func (v *visit) entryPorts(s *mesh.Service, spec *networking.ServiceEntry) {
	if len(spec.Ports) == 0 && spec.Resolution != networking.ServiceEntry_NONE {
		v.Add(mesh.CodeInvalid, "spec.ports", "give the ports that the hosts serve", "the object has no port")
	}
	for i, p := range spec.Ports {
		path := at("spec.ports", i)
		if p.GetName() == "" {
			v.Invalid(path+".name", "the port has no name")
		}
		number := v.port(p.GetNumber(), path+".number")
		if slices.ContainsFunc(s.Ports, func(x mesh.Port) bool { return x.Number == number || x.Name == p.GetName() }) {
			v.Invalid(path, "two ports have the number or the name of this one")
			continue
		}
		if _, known := mesh.ParseProtocol(p.GetProtocol()); p.GetProtocol() != "" && !known {
			v.Add(mesh.CodeInvalid, path+".protocol", "use HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, TLS, TCP, UDP, MONGO, MYSQL or REDIS", "%q is not a protocol", shorten(p.GetProtocol()))
		}
		port := mesh.Port{Name: p.GetName(), Number: number, Protocol: mesh.SelectProtocol(number, "TCP", p.GetName(), strings.ToLower(p.GetProtocol()))}
		if p.GetTargetPort() != 0 {
			port.TargetPort = v.port(p.TargetPort, path+".targetPort")
		}
		if s.Resolution == mesh.ClientNames && !namesHost(port.Protocol) {
			v.NotEnforced(path+".protocol", "with resolution DYNAMIC_DNS the host is taken from the request (HTTP, HTTP2, GRPC) or from TLS (TLS, HTTPS), so the port is left out")
			continue
		}
		s.Ports = append(s.Ports, port)
	}
	slices.SortFunc(s.Ports, func(a, b mesh.Port) int { return int(a.Number) - int(b.Number) })
}

// namesHost says whether clients of a protocol name the host that they call.
func namesHost(p mesh.Protocol) bool { return p.IsHTTP() || p == mesh.TLS || p == mesh.HTTPS }

// reachMark is where an owner says that names may lead to the proxy's own host or link.
const reachMark = "heddle.dev/resolvesTo"

func (v *visit) entryReach(o api.Object, s *mesh.Service) {
	said, ok := o.Meta.Annotations[reachMark]
	if !ok {
		return
	}
	path := keyed("metadata.annotations", reachMark)
	if s.Resolution != mesh.ClientNames {
		v.Invalid(path, "it is for resolution DYNAMIC_DNS")
		return
	}
	for text := range strings.SplitSeq(said, ",") {
		p, ok := parsePrefix(strings.TrimSpace(text))
		if !ok {
			v.Invalid(path, "%q is neither an IP address nor a CIDR block", shorten(text))
			continue
		}
		s.Local = append(s.Local, p)
	}
}

func (v *visit) entryDistribution(o api.Object, s *mesh.Service) {
	said, ok := o.Meta.Annotations[DistributionMark]
	if near, known := mesh.ParseNearness(said); known {
		s.Near = near
	} else if ok {
		v.Add(mesh.CodeInvalid, keyed("metadata.annotations", DistributionMark), "write PreferClose, PreferSameZone or PreferSameNode", "%q is none of the distributions", shorten(said))
	} else {
		s.Near = Distribution(v.ns, v.in)
	}
}

func (v *visit) entryAddresses(s *mesh.Service, spec *networking.ServiceEntry) {
	if s.Resolution == mesh.ClientNames && len(spec.Addresses) > 0 {
		v.NotEnforced("spec.addresses", "with resolution DYNAMIC_DNS requests are told apart by the host that they name, so addresses have no effect")
	}
	for i, text := range spec.Addresses {
		p, ok := parsePrefix(text)
		switch {
		case ok && s.Resolution == mesh.ClientNames:
		case !ok:
			v.Invalid(at("spec.addresses", i), "%q is neither an IP address nor a CIDR block", text)
		case p.IsSingleIP():
			s.Addresses = append(s.Addresses, p.Addr())
		case s.Resolution == mesh.DNS || s.Resolution == mesh.DNSRoundRobin:
			v.Invalid(at("spec.addresses", i), "a CIDR block is possible only with resolution NONE or STATIC")
		default:
			s.Prefixes = append(s.Prefixes, p)
		}
	}
}

// unaddressedMark says whether hosts without addresses get one.
const unaddressedMark = "networking.istio.io/enable-autoallocate-ip"

func (v *visit) entryUnaddressed(o api.Object, s *mesh.Service) {
	switch said, ok := o.Meta.Labels[unaddressedMark]; {
	case strings.EqualFold(said, "false"):
		s.Unaddressed = true
	case ok && !strings.EqualFold(said, "true"):
		v.NotEnforced(keyed("metadata.labels", unaddressedMark), "it is true or false, so %q has no effect and an address is given", shorten(said))
	}
}

// written reads status.addresses, which a control plane wrote: what it is not can only be a mistake of others, and counts for nothing.
func written(o api.Object) map[mesh.ServiceID][]netip.Addr {
	list, _ := o.Status["addresses"].([]any)
	out := map[mesh.ServiceID][]netip.Addr{}
	for _, x := range list {
		m, _ := x.(map[string]any)
		host, _ := m["host"].(string)
		value, _ := m["value"].(string)
		if ip, err := netip.ParseAddr(value); err == nil && host != "" {
			id := mesh.ServiceID{Namespace: mesh.Namespace(o.Meta.Namespace), Host: mesh.Host(strings.ToLower(host))}
			out[id] = append(out[id], ip)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func (v *visit) entryHost(e *Entry, s mesh.Service, text string, spec *networking.ServiceEntry, path string) {
	h, err := mesh.ParseHost(text)
	switch {
	case err != nil:
		v.Invalid(path, "%q is not a host name", text)
		return
	case h == "*":
		v.Invalid(path, "the host * would be everything")
		return
	case !h.IsWildcard() && s.Resolution == mesh.ClientNames:
		v.Add(mesh.CodeInvalid, path, "set resolution: DNS, or write a wildcard", "resolution DYNAMIC_DNS is for wildcards, and %s is one host", h)
		return
	case h.IsWildcard() && len(spec.Endpoints) == 0 && (s.Resolution == mesh.DNS || s.Resolution == mesh.DNSRoundRobin):
		v.Add(mesh.CodeInvalid, path, "set resolution: DYNAMIC_DNS or NONE, or give endpoints", "the wildcard %s cannot be resolved by DNS", h)
		return
	}
	if slices.ContainsFunc(e.Services, func(x *mesh.Service) bool { return x.ID.Host == h }) {
		v.Invalid(path, "host %s is given twice", h)
		return
	}
	s.ID = mesh.ServiceID{Namespace: v.ns, Host: h}
	e.Services = append(e.Services, &s)
}

func (v *visit) entryEndpoint(w *networking.WorkloadEntry, s mesh.Service, path string) *mesh.Endpoint {
	if w == nil {
		v.Invalid(path, "the endpoint is empty")
		return nil
	}
	ep := v.endpoint(w, path)
	dns := s.Resolution == mesh.DNS || s.Resolution == mesh.DNSRoundRobin
	if ep.Address.Kind() == mesh.AddrHostname && !dns {
		v.Add(mesh.CodeInvalid, path+".address", "set resolution: DNS", "the host name %s is possible only with resolution DNS", w.Address)
	}
	if w.Address == "" {
		v.Invalid(path+".address", "the endpoint has no address")
	}
	for _, name := range sorted(w.Ports) {
		if len(s.Ports) > 0 && !slices.ContainsFunc(s.Ports, func(p mesh.Port) bool { return p.Name == name }) {
			v.Invalid(keyed(path+".ports", name), "the service has no port named %s", name)
		}
	}
	for _, p := range s.Ports {
		switch {
		case ep.Ports[p.Name] != 0:
		case p.TargetPort != 0:
			ep.Ports[p.Name] = p.TargetPort
		default:
			ep.Ports[p.Name] = p.Number
		}
	}
	return ep
}

// endpoint reads what a WorkloadEntry says about one endpoint, standing alone or within a ServiceEntry.
func (v *visit) endpoint(w *networking.WorkloadEntry, path string) *mesh.Endpoint {
	ep := &mesh.Endpoint{
		Ports: map[string]uint16{}, Labels: w.Labels, Network: mesh.NetworkID(w.Network), Cluster: mesh.DefaultCluster, Locality: mesh.ParseLocality(w.Locality),
		Weight: w.Weight, MTLS: mutual(w),
		App: w.Labels["app"], Version: w.Labels["version"], WorkloadName: w.Labels["service.istio.io/workload-name"],
		CanonicalService: w.Labels["service.istio.io/canonical-name"], CanonicalRevision: w.Labels["service.istio.io/canonical-revision"],
	}
	if ep.Network == "" {
		ep.Network = mesh.DefaultNetwork
	}
	if w.Address != "" {
		a, err := mesh.ParseAddress(w.Address)
		if err != nil {
			v.Invalid(path+".address", "%q is neither an IP address, a host name nor unix:///PATH", shorten(w.Address))
		}
		ep.Address = a
	}
	for _, name := range sorted(w.Ports) {
		ep.Ports[name] = v.port(w.Ports[name], keyed(path+".ports", name))
	}
	if ep.Address.Kind() == mesh.AddrUnix && len(w.Ports) > 0 {
		v.Invalid(path+".ports", "a unix socket has no ports")
	}
	if w.ServiceAccount != "" {
		td, err := identity.ParseTrustDomain(v.in.Settings().TrustDomain)
		if err != nil {
			td, _ = identity.ParseTrustDomain(identity.DefaultTrustDomain)
		}
		ep.Identity = identity.NewID(td, string(v.ns), w.ServiceAccount)
	}
	return ep
}

// mutual says whether a proxy in front of an endpoint takes mutual TLS: its label says so or, without one, that it has an identity.
func mutual(w *networking.WorkloadEntry) bool {
	mode, said := w.Labels["security.istio.io/tlsMode"]
	return mode == "istio" || !said && w.ServiceAccount != ""
}

// workloadEntryFields are all of them.
var workloadEntryFields = api.Fields("address", "ports", "labels", "network", "locality", "weight", "serviceAccount")

// WorkloadEntry gives the workload that a WorkloadEntry describes and the endpoint that it is for services which select it; the endpoint's Ports are those
// that the object names. Both are nil when the object is broken.
func WorkloadEntry(o api.Object, in Lookup) (*mesh.Workload, *mesh.Endpoint, []mesh.Problem) {
	spec, ok := o.Spec.(*networking.WorkloadEntry)
	if !ok {
		return nil, nil, nil
	}
	v := open(o, in)
	v.check(workloadEntryFields, nil)
	ep := v.endpoint(spec, "spec")
	for _, key := range []string{"heddle.dev/proxied", "heddle.dev/ready"} {
		if said, ok := o.Meta.Annotations[key]; ok && said != "true" && said != "false" {
			v.Invalid(keyed("metadata.annotations", key), "%q is neither true nor false", shorten(said))
		}
	}
	if spec.Address == "" && spec.Network == "" {
		v.Add(mesh.CodeInvalid, "spec.address", "give an address", "the workload has no address")
	} else if spec.Address == "" {
		v.NotEnforced("spec.address", "a workload without address, reached through its network's gateway, is not possible yet, so it is left out")
		return nil, nil, v.Problems()
	}
	if v.Broken() {
		return nil, nil, v.Problems()
	}
	ep.Labels = merged(o.Meta.Labels, spec.Labels)
	ep.Workload = mesh.WorkloadID{Cluster: mesh.DefaultCluster, Namespace: v.ns, Kind: "WorkloadEntry", Name: o.Meta.Name}
	w := &mesh.Workload{ID: ep.Workload, Labels: ep.Labels, ServiceAccount: spec.ServiceAccount, Identity: ep.Identity, Network: ep.Network,
		Locality: ep.Locality, Name: o.Meta.Name, Origin: o.Ref()}
	if ep.Address.Kind() == mesh.AddrIP {
		w.Addresses = []netip.Addr{ep.Address.IP()}
	}
	return w, ep, v.Problems()
}

// merged gives both sets of labels; those of the spec win.
func merged(meta, spec map[string]string) mesh.Labels {
	out := mesh.Labels{}
	for _, m := range []map[string]string{meta, spec} {
		for k, x := range m {
			out[k] = x
		}
	}
	return out
}
