package istio

import (
	"slices"

	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
)

func (v *visit) tcpRule(t *networking.TCPRoute, path string) (mesh.TCPRule, bool) {
	var r mesh.TCPRule
	for i, m := range t.GetMatch() {
		at := at(path+".match", i)
		if v.drops(at) {
			v.dropped(at, "the match")
			continue
		}
		match := v.l4Match(m.GetDestinationSubnets(), m.GetPort(), m.GetGateways(), at)
		match.SourceLabels, match.SourceNamespace = m.GetSourceLabels(), mesh.Namespace(m.GetSourceNamespace())
		match.Sources = v.sources(m.GetSourceSubnet(), at+".sourceSubnet")
		r.Matches = append(r.Matches, match)
	}
	r.Backends = v.l4Backends(t.GetRoute(), path)
	return r, len(t.GetMatch()) == 0 || len(r.Matches) > 0
}

// sources reads from where connections are to come.
func (v *visit) sources(subnet, path string) []string {
	if subnet == "" {
		return nil
	}
	p, ok := parsePrefix(subnet)
	if !ok {
		v.Invalid(path, "%q is neither an IP address nor a CIDR block", subnet)
	}
	return []string{p.String()}
}

func (v *visit) tlsRule(t *networking.TLSRoute, hosts []mesh.Host, path string) (mesh.TLSRule, bool) {
	var r mesh.TLSRule
	if len(t.GetMatch()) == 0 {
		v.Add(mesh.CodeInvalid, path+".match", "give match with sniHosts", "a rule for TLS needs the server names that it is for")
	}
	for i, m := range t.GetMatch() {
		at := at(path+".match", i)
		if v.drops(at) {
			v.dropped(at, "the match")
			continue
		}
		match := v.l4Match(m.GetDestinationSubnets(), m.GetPort(), m.GetGateways(), at)
		match.SourceLabels, match.SourceNamespace = m.GetSourceLabels(), mesh.Namespace(m.GetSourceNamespace())
		match.SNIHosts = v.sniHosts(m.GetSniHosts(), hosts, at+".sniHosts")
		r.Matches = append(r.Matches, match)
	}
	r.Backends = v.l4Backends(t.GetRoute(), path)
	return r, len(r.Matches) > 0
}

func (v *visit) sniHosts(list []string, hosts []mesh.Host, path string) []mesh.Host {
	var out []mesh.Host
	if len(list) == 0 {
		v.Invalid(path, "a match for TLS needs at least one server name")
	}
	for i, s := range list {
		h, err := mesh.ParseHost(s)
		if err != nil {
			v.Invalid(at(path, i), "%q is not a host name", s)
			continue
		}
		if !slices.ContainsFunc(hosts, func(x mesh.Host) bool { return x.Matches(h) }) {
			if full, err := resolve(s, v.ns, v.in); err != nil || !slices.Contains(hosts, full) {
				v.Add(mesh.CodeInvalid, at(path, i), "add it to spec.hosts", "server name %s is not covered by the hosts of the object", h)
			}
		}
		out = append(out, h)
	}
	return out
}

func (v *visit) l4Match(subnets []string, port uint32, gateways []string, path string) mesh.L4Match {
	var m mesh.L4Match
	for i, s := range subnets {
		p, ok := parsePrefix(s)
		if !ok {
			v.Invalid(at(path+".destinationSubnets", i), "%q is neither an IP address nor a CIDR block", s)
			continue
		}
		m.Destinations = append(m.Destinations, p.String())
	}
	if port != 0 {
		m.Port = v.port(port, path+".port")
	}
	spec, _ := v.obj.Spec.(*networking.VirtualService)
	m.Gateways, m.Mesh, _ = v.matchGateways(gateways, spec, path+".gateways")
	return m
}

func (v *visit) l4Backends(list []*networking.RouteDestination, path string) []mesh.Backend {
	var out []mesh.Backend
	total := uint64(0)
	if len(list) == 0 {
		v.Invalid(path+".route", "the rule has no destination")
	}
	for i, d := range list {
		at := at(path+".route", i)
		if d.GetDestination() == nil {
			v.Invalid(at+".destination", "the destination is missing")
			continue
		}
		b := v.backend(d.Destination, at+".destination")
		b.Weight = v.count(d.Weight, at+".weight")
		total += uint64(b.Weight)
		out = append(out, b)
	}
	switch {
	case len(out) == 1 && total == 0:
		out[0].Weight = 100
	case len(out) > 1 && total == 0:
		v.Add(mesh.CodeInvalid, path+".route", "give weights above 0", "the weights of the %d destinations add up to 0", len(out))
	}
	return out
}
