package analyze

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

func at(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// destinations wants the port where a service has several.
func (a *analysis) destinations() {
	each(a, func(o api.Object, spec *networking.VirtualService) {
		for _, d := range destinationsOf(spec) {
			host := a.full(d.to.GetHost(), o.Ref().Namespace)
			svc, ok := a.world.Service(host, o.Ref().Namespace)
			if ok && d.to.GetPort().GetNumber() == 0 && len(svc.Ports) > 1 {
				a.say("IST0112", o.Ref(), d.path, fmt.Sprintf("service %s has %d ports, and the destination names none", host, len(svc.Ports)))
			}
		}
	})
}

type destination struct {
	path string
	to   *networking.Destination
}

func destinationsOf(spec *networking.VirtualService) (out []destination) {
	for i, h := range spec.GetHttp() {
		for j, r := range h.GetRoute() {
			out = append(out, destination{at(at("spec.http", i)+".route", j) + ".destination", r.GetDestination()})
		}
	}
	for i, t := range spec.GetTcp() {
		for j, r := range t.GetRoute() {
			out = append(out, destination{at(at("spec.tcp", i)+".route", j) + ".destination", r.GetDestination()})
		}
	}
	for i, t := range spec.GetTls() {
		for j, r := range t.GetRoute() {
			out = append(out, destination{at(at("spec.tls", i)+".route", j) + ".destination", r.GetDestination()})
		}
	}
	return out
}

// rules looks for rules and matches that earlier ones leave nothing.
func (a *analysis) rules() {
	each(a, func(o api.Object, spec *networking.VirtualService) {
		var http, tcp, tls [][]proto.Message
		for _, h := range spec.GetHttp() {
			list := []proto.Message{}
			for _, m := range h.GetMatch() {
				m = proto.Clone(m).(*networking.HTTPMatchRequest)
				m.Name, m.StatPrefix = "", ""
				list = append(list, m)
			}
			http = append(http, list)
		}
		for _, t := range spec.GetTcp() {
			tcp = append(tcp, messages(t.GetMatch()))
		}
		for _, t := range spec.GetTls() {
			tls = append(tls, messages(t.GetMatch()))
		}
		a.shadowed(o.Ref(), "spec.http", http)
		a.shadowed(o.Ref(), "spec.tcp", tcp)
		a.shadowed(o.Ref(), "spec.tls", tls)
	})
}

func messages[M proto.Message](list []M) []proto.Message {
	out := []proto.Message{}
	for _, m := range list {
		out = append(out, m)
	}
	return out
}

// shadowed tells of rules behind one that matches everything, and of matches that were there before.
func (a *analysis) shadowed(ref mesh.Ref, path string, rules [][]proto.Message) {
	everything := -1
	var before []placedMatch
	seen := map[string]int{}
	for i, matches := range rules {
		rule := at(path, i)
		if everything >= 0 {
			a.say("IST0130", ref, rule, fmt.Sprintf("%s matches every request before it", at(path, everything)))
			continue
		}
		var twice []int
		for j, m := range matches {
			key, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
			if err != nil {
				continue
			}
			if _, known := seen[string(key)]; known {
				twice = append(twice, j)
				continue
			}
			seen[string(key)] = i
			if takesAll(m) {
				everything = i
			}
		}
		if len(matches) == 0 {
			everything = i
			continue
		}
		if len(twice) == len(matches) {
			a.say("IST0130", ref, rule, "each of its matches is in an earlier rule")
		}
		for _, j := range twice {
			a.say("IST0131", ref, at(rule+".match", j), "the same match came before")
		}
		for j, m := range matches {
			if by := coveredBy(before, m); by != "" && !slices.Contains(twice, j) {
				a.say("IST0131", ref, at(rule+".match", j), by+" takes all that it matches")
			}
			if http, ok := m.(*networking.HTTPMatchRequest); ok && len(before) < maxCompared && !takesAll(m) {
				before = append(before, placedMatch{at(rule+".match", j), http})
			}
		}
	}
}

// maxCompared bounds the matches with which later ones are compared.
const maxCompared = 200

type placedMatch struct {
	path  string
	match *networking.HTTPMatchRequest
}

// coveredBy is the match before that takes all that a match does, though it says something else: a shorter prefix, or fewer conditions.
func coveredBy(before []placedMatch, m proto.Message) string {
	http, ok := m.(*networking.HTTPMatchRequest)
	if !ok {
		return ""
	}
	for _, b := range before {
		if covers(b.match, http) {
			return b.path
		}
	}
	return ""
}

// covers says whether a match takes every request that another one does, by what is plain: its conditions are those of the other, but for a prefix that the other's path begins with.
func covers(a, b *networking.HTTPMatchRequest) bool {
	if proto.Equal(a, b) {
		return false // the same is told otherwise
	}
	rest := proto.Clone(b).(*networking.HTTPMatchRequest)
	path := b.GetUri().GetPrefix() + b.GetUri().GetExact()
	if prefix := a.GetUri().GetPrefix(); a.Uri == nil || prefix != "" && path != "" && strings.HasPrefix(path, prefix) && a.IgnoreUriCase == b.IgnoreUriCase {
		rest.Uri = a.Uri
	}
	said := a.ProtoReflect()
	rest.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if !said.Has(f) {
			rest.ProtoReflect().Clear(f) // a condition more than the first one has
		}
		return true
	})
	return proto.Equal(a, rest)
}

// takesAll says whether a match is true of every request.
func takesAll(m proto.Message) bool {
	if proto.Size(m) == 0 {
		return true
	}
	http, ok := m.(*networking.HTTPMatchRequest)
	return ok && http.GetUri().GetPrefix() == "/" && proto.Equal(&networking.HTTPMatchRequest{Uri: http.Uri}, http)
}

// gatewayHosts looks whether the gateways of a VirtualService know its hosts.
func (a *analysis) gatewayHosts() {
	gates := map[mesh.GatewayID]*mesh.Gateway{}
	for _, r := range a.results {
		if r.Gateway != nil {
			gates[r.Gateway.ID] = r.Gateway
		}
	}
	for _, r := range a.results {
		if r.Route == nil || r.Route.Origin.Kind != "VirtualService" {
			continue
		}
		a.servedHosts(r.Route, gates)
	}
}

// servedHosts tells of gateways that serve none of a route's hosts, and of hosts that none of its gateways serves. A gateway that does not exist is told elsewhere.
func (a *analysis) servedHosts(r *mesh.Route, gates map[mesh.GatewayID]*mesh.Gateway) {
	served, whole := make([]bool, len(r.Hosts)), !r.Mesh
	for n, id := range r.Gateways {
		g := gates[id]
		if g == nil {
			whole = false
			continue
		}
		any := false
		for i, h := range r.Hosts {
			if serves(g, h, r.Origin.Namespace) {
				any, served[i] = true, true
			}
		}
		if !any {
			a.say("IST0132", r.Origin, at("spec.gateways", n), fmt.Sprintf("no server of Gateway %s/%s takes a host of this object from namespace %s", id.Namespace, id.Name, r.Origin.Namespace))
		}
	}
	for i, h := range r.Hosts {
		if whole && !served[i] && len(r.Hosts) > 1 {
			a.say("IST0132", r.Origin, at("spec.hosts", i), fmt.Sprintf("no server of its gateways takes host %s from namespace %s", h, r.Origin.Namespace))
		}
	}
}

func serves(g *mesh.Gateway, h mesh.Host, ns mesh.Namespace) bool {
	for _, s := range g.Servers {
		for _, sh := range s.Hosts {
			if (sh.Namespace == "" || sh.Namespace == ns) && (sh.Host == "*" || sh.Host == h || sh.Host.Matches(h) || h.Matches(sh.Host)) {
				return true
			}
		}
	}
	return false
}
