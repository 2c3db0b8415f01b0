package analyze

import (
	"fmt"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

func at(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// destinations wants the port where a service has several.
func (a *analysis) destinations() {
	each(a, func(o api.Object, spec *networking.VirtualService) {
		for _, d := range destinationsOf(spec) {
			host := mesh.Host(d.to.GetHost())
			if !strings.Contains(string(host), ".") {
				host = mesh.Host(fmt.Sprintf("%s.%s.svc.%s", host, o.Meta.Namespace, a.in.Settings.ClusterDomain))
			}
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
		switch {
		case len(matches) == 0:
			everything = i
		case len(twice) == len(matches):
			a.say("IST0130", ref, rule, "each of its matches is in an earlier rule")
		default:
			for _, j := range twice {
				a.say("IST0131", ref, at(rule+".match", j), "the same match came before")
			}
		}
	}
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
		for _, id := range r.Route.Gateways {
			g := gates[id]
			if g == nil {
				continue
			}
			for i, h := range r.Route.Hosts {
				if !serves(g, h, r.Route.Origin.Namespace) {
					a.say("IST0132", r.Route.Origin, at("spec.hosts", i), fmt.Sprintf("no server of Gateway %s/%s takes host %s from namespace %s", id.Namespace, id.Name, h, r.Route.Origin.Namespace))
				}
			}
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
