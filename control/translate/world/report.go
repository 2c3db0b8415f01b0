package world

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/control/translate/gateway"
	"github.com/heddle-mesh/heddle/control/translate/istio"
	"github.com/heddle-mesh/heddle/control/translate/text"
	"github.com/heddle-mesh/heddle/mesh"
)

// Conflicts tells about hosts that several of the results claim.
func Conflicts(results []Result) []mesh.Problem {
	byHost := map[mesh.Host][]*mesh.Route{}
	var hosts []mesh.Host
	for _, r := range results {
		if r.Route == nil {
			continue
		}
		for _, h := range r.Route.Hosts {
			if byHost[h] == nil {
				hosts = append(hosts, h)
			}
			byHost[h] = append(byHost[h], r.Route)
		}
	}
	var out []mesh.Problem
	for _, h := range hosts {
		out = append(out, istio.HostConflicts(h, byHost[h])...)
	}
	rules := map[mesh.Host][]*mesh.Traffic{}
	for _, r := range results {
		if r.Traffic != nil {
			rules[r.Traffic.Host] = append(rules[r.Traffic.Host], r.Traffic)
		}
	}
	for _, h := range slices.Sorted(maps.Keys(rules)) {
		out = append(out, istio.TrafficConflicts(h, rules[h])...)
	}
	scopes := map[mesh.Namespace][]*mesh.SidecarScope{}
	for _, r := range results {
		if r.Sidecar != nil {
			scopes[r.Sidecar.Origin.Namespace] = append(scopes[r.Sidecar.Origin.Namespace], r.Sidecar)
		}
	}
	for _, ns := range slices.Sorted(maps.Keys(scopes)) {
		out = append(out, istio.SidecarConflicts(scopes[ns])...)
	}
	told := map[mesh.Namespace][]*mesh.Telemetry{}
	for _, r := range results {
		if r.Telemetry != nil {
			told[r.Telemetry.Origin.Namespace] = append(told[r.Telemetry.Origin.Namespace], r.Telemetry)
		}
	}
	for _, ns := range slices.Sorted(maps.Keys(told)) {
		slices.SortFunc(told[ns], mesh.CompareTelemetry)
		out = append(out, istio.TelemetryConflicts(told[ns])...)
	}
	gates := map[mesh.GatewayID][]*mesh.Route{}
	for _, r := range results {
		if r.Route != nil {
			for _, id := range r.Route.Gateways {
				if id.Dialect == mesh.GatewayAPI {
					gates[id] = append(gates[id], r.Route)
				}
			}
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(gates), mesh.CompareGatewayID) {
		slices.SortFunc(gates[id], mesh.CompareRoutes)
		out = append(out, gateway.RouteConflicts(id, gates[id])...)
	}
	return out
}

// Report writes what every object means, its problems and its status.
func Report(results []Result, rest []mesh.Problem) string {
	var b strings.Builder
	var routes []*mesh.Route
	for _, r := range results {
		if r.Route != nil {
			routes = append(routes, r.Route)
		}
	}
	slices.SortFunc(routes, mesh.CompareRoutes)
	for _, r := range results {
		rest = append(rest, r.Elsewhere...)
	}
	for _, p := range append(rest, Conflicts(results)...) {
		fmt.Fprintf(&b, "%s %s\n", p.Code, p)
	}
	for _, r := range results {
		if r.Object.Kind.Istio() || r.Object.Kind.Gateway() || r.Object.Kind.Group == api.GroupIngress {
			b.WriteString("== " + r.Object.Ref().String() + "\n")
			r.write(&b, routes, written(results))
		}
	}
	return b.String()
}

// written answers from the objects of results.
type written []Result

// Settings are the defaults.
func (w written) Settings() *mesh.Settings { return &mesh.Settings{} }

// Object finds an object.
func (w written) Object(ref mesh.Ref) (api.Object, bool) {
	i := slices.IndexFunc(w, func(r Result) bool { return r.Object.Ref() == ref })
	if i < 0 {
		return api.Object{}, false
	}
	return w[i].Object, true
}

func (r Result) write(b *strings.Builder, routes []*mesh.Route, in gateway.Objects) {
	for _, noun := range r.nouns() {
		b.WriteString(text.Dump(noun))
	}
	for _, p := range r.Problems {
		p.Object = mesh.Ref{}
		fmt.Fprintf(b, "%s %s\n", p.Code, strings.TrimPrefix(strings.TrimPrefix(p.String(), "/"), " "))
	}
	if r.Status == nil {
		return
	}
	s := *r.Status
	if r.Object.Kind.Gateway() && r.Object.Kind.Kind == "Gateway" {
		s = gateway.WithRoutes(s, mesh.GatewayID{Dialect: mesh.GatewayAPI, Namespace: r.Object.Ref().Namespace, Name: r.Object.Meta.Name}, routes)
	}
	if r.Object.Kind.Kind == "ListenerSet" {
		s = gateway.WithRoutes(s, mesh.GatewayID{Dialect: mesh.GatewayAPI, Namespace: r.Object.Ref().Namespace, Name: r.Object.Meta.Name, Set: true}, routes)
	}
	if s.ListenerSets != nil {
		fmt.Fprintf(b, "%d listener sets\n", *s.ListenerSets)
	}
	if r.Object.Kind.Kind == "BackendTLSPolicy" {
		s = gateway.WithAncestors(s, r.Object, slices.Values(routes), in)
	}
	s = gateway.WithRivals(s, r.Object, r.Route, func(mesh.GatewayID) []*mesh.Route { return routes }, in)
	conditions(b, "status", s.Conditions)
	for _, l := range s.Listeners {
		conditions(b, fmt.Sprintf("listener %s, %d routes of %d kinds", l.Name, l.AttachedRoutes, len(l.SupportedKinds)), l.Conditions)
	}
	if s.LoadBalancer != nil {
		for _, a := range s.LoadBalancer.Ingress {
			fmt.Fprintf(b, "load balancer %s%s\n", a.IP, a.Hostname)
		}
	}
	for _, a := range s.Ancestors {
		conditions(b, "ancestor "+a.AncestorRef.Name, a.Conditions)
	}
	for _, p := range s.Parents {
		conditions(b, "parent "+p.ParentRef.Name, p.Conditions)
	}
}

func conditions(b *strings.Builder, what string, list []condition.Condition) {
	if len(list) == 0 {
		return
	}
	b.WriteString(what + ":")
	for _, c := range list {
		fmt.Fprintf(b, " %s=%s/%s", c.Type, c.Status, c.Reason)
	}
	b.WriteByte('\n')
	for _, c := range list {
		if normal := c.Type != "Conflicted" && c.Type != "PartiallyInvalid"; normal == (c.Status == "False") {
			fmt.Fprintf(b, "  %s: %s\n", c.Type, c.Message)
		}
	}
}

func (r Result) nouns() (out []any) {
	if r.Route != nil {
		out = append(out, r.Route)
	}
	for _, more := range r.More {
		out = append(out, more)
	}
	if r.Traffic != nil {
		out = append(out, r.Traffic)
	}
	if r.Gateway != nil {
		out = append(out, r.Gateway)
	}
	if r.Entry != nil {
		out = append(out, r.Entry)
	}
	if r.Workload != nil {
		out = append(out, r.Workload)
	}
	if r.Endpoint != nil {
		out = append(out, r.Endpoint)
	}
	if r.Sidecar != nil {
		out = append(out, r.Sidecar)
	}
	if r.PeerAuthn != nil {
		out = append(out, r.PeerAuthn)
	}
	if r.Authorization != nil {
		out = append(out, r.Authorization)
	}
	if r.Filter != nil {
		out = append(out, r.Filter)
	}
	if r.Telemetry != nil {
		out = append(out, r.Telemetry)
	}
	for _, t := range r.BackendTLS {
		out = append(out, t)
	}
	for _, d := range r.Denials {
		out = append(out, d)
	}
	return out
}
