package view

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
)

// telemetryOf asks which Telemetries count for a proxy. The answer is their names in order, with spaces between them, so proxies with the same ones answer alike.
type telemetryOf struct{}

// Answer gives that of the mesh, that of the proxy's namespace, and those that choose the proxy, the oldest first: what comes later goes before.
func (telemetryOf) Answer(s *Source, p *mesh.Proxy) any {
	root := s.Settings.RootNamespace
	wide, _ := s.Telemetry.Get(root)
	own, _ := s.Telemetry.Get(p.Namespace)
	var out []string
	add := func(t *mesh.Telemetry) { out = append(out, string(t.Origin.Namespace)+"/"+t.Origin.Name) }
	for _, list := range [][]*mesh.Telemetry{wide, own} {
		if i := slices.IndexFunc(list, (*mesh.Telemetry).Whole); i >= 0 {
			add(list[i])
		}
		if p.Namespace == root {
			break
		}
	}
	for _, t := range wide { // of a class of gateways
		if p.Namespace != root && t.Gateways && chosen(t, p) {
			add(t)
		}
	}
	for _, t := range own {
		if chosen(t, p) {
			add(t)
		}
	}
	return strings.Join(out, " ")
}

// chosen says whether an object chooses the proxy.
func chosen(t *mesh.Telemetry, p *mesh.Proxy) bool {
	return (!t.Gateways || p.Kind == mesh.Router) && slices.ContainsFunc(t.Selectors, func(l mesh.Labels) bool { return l.Selects(p.Labels) })
}

// Grounds are the Telemetries of the mesh and of the proxy's namespace.
func (telemetryOf) Grounds(s *Source, p *mesh.Proxy) []mesh.Key {
	return []mesh.Key{{Noun: mesh.OfTelemetry, Name: p.Namespace}, {Noun: mesh.OfTelemetry, Name: s.Settings.RootNamespace}}
}

// telemetries are those that count for the proxy, what goes before the others last. Nobody asks in a mesh without any.
func (v *View) telemetries() []*mesh.Telemetry {
	if v.telemetry != nil {
		return *v.telemetry
	}
	var out []*mesh.Telemetry
	if v.shape().telemetry {
		for name := range strings.FieldsSeq(v.r.Ask(telemetryOf{}).(string)) {
			ns, name, _ := strings.Cut(name, "/")
			list, _ := read(v, mesh.OfTelemetry, v.s.Telemetry, mesh.Namespace(ns))
			for _, t := range list {
				if t.Origin.Name == name {
					out = append(out, t)
				}
			}
		}
	}
	v.telemetry = &out
	return out
}

// Logger is an access log that the proxy writes.
type Logger struct {
	*mesh.Provider
	Filter string // an expression, "" keeps all
	Origin mesh.Ref
	Field  string // of Origin: it names the provider
	off    bool
}

// loggers are the providers that take the access logs of a side, by name.
type loggers struct {
	v     *View
	side  mesh.Side
	scope map[string]bool // the providers of the narrowest object that names some
	out   map[string]Logger
}

// Loggers are the access logs of a side of the traffic, ordered by name; said is false where nothing is said of them, so that MeshConfig's accessLogFile counts. An object that names
// providers takes the place of what wider ones name; one that does not speaks of theirs (Istio's rules).
func (v *View) Loggers(side mesh.Side) (list []Logger, said bool) {
	s, objects := v.Settings(), v.telemetries()
	if len(objects) == 0 && len(s.Defaults.Logging) == 0 {
		return nil, false
	}
	l := loggers{v: v, side: side, scope: set(s.Defaults.Logging), out: map[string]Logger{}}
	speaks := slices.ContainsFunc(objects, func(t *mesh.Telemetry) bool { return len(t.Logging) > 0 })
	if !speaks {
		for _, name := range s.Defaults.Logging {
			l.out[name] = Logger{Provider: s.Provider(name)}
		}
	}
	filters := map[string]string{}
	for _, t := range objects {
		names := map[string]bool{}
		for _, r := range t.Logging {
			for _, name := range r.Providers {
				if r.Side.Covers(side) {
					names[name], filters[name] = true, r.Filter
				}
			}
		}
		if len(names) > 0 {
			l.scope = names
		}
	}
	above := s.Defaults.Logging
	for _, t := range objects {
		for i := range t.Logging {
			above = l.rule(t, i, above, filters)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.out)) {
		x := l.out[name]
		if x.Provider == nil || !x.Logs() {
			continue
		}
		if said = true; !x.off {
			list = append(list, x)
		}
	}
	return list, said
}

// rule takes what one entry says, and gives the providers that it speaks of.
func (l *loggers) rule(t *mesh.Telemetry, i int, above []string, filters map[string]string) []string {
	r := &t.Logging[i]
	names := r.Providers
	if len(names) == 0 {
		names = above
	}
	if len(names) == 0 {
		l.v.Notice(mesh.Problem{
			Object: t.Origin, Field: at("spec.accessLogging", i), Code: mesh.CodeNotEnforced, Hint: "name providers",
			Message: "it names no provider, and neither does what is above it (a Telemetry or MeshConfig's defaultProviders.accessLogging)",
		})
	}
	if !r.Side.Covers(l.side) {
		return names
	}
	for j, name := range names {
		if !l.scope[name] {
			continue
		}
		l.v.From(t.Origin)
		x := Logger{Provider: l.v.Settings().Provider(name), Filter: filters[name], Origin: t.Origin, Field: at("spec.accessLogging", i), off: r.Disabled}
		if len(r.Providers) > 0 {
			x.Field += at(".providers", j)
		}
		l.out[name] = x
	}
	return names
}

func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func set(names []string) map[string]bool {
	out := make(map[string]bool, len(names))
	for _, n := range names {
		out[n] = true
	}
	return out
}
