package decode

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/heddle-mesh/heddle/data/proxy/accesslog"
	"github.com/heddle-mesh/heddle/xds/honour"
)

// TestNothingIsTakenAndIgnored sets every field of every message that decode accepts, one at a time, to other valid values. Each must be refused with its path, or
// change the configuration that comes out; the few that may be taken without an effect are in neutral, with the reason. That what comes out is looked at by somebody
// is what TestEveryFieldIsRead of package config proves.
func TestNothingIsTakenAndIgnored(t *testing.T) {
	w := &walk{t: t, visited: map[string]bool{}, fields: map[string]*tally{}, excused: map[protoreflect.FullName]bool{}, values: merged(fieldValues(t.TempDir()), upstreamValues())}
	env := func(name string) (string, bool) { return "a=value of " + name, name != "Y" }
	d := &Decoder{Identity: true, Env: env, OpenLog: func(path string) (*accesslog.Sink, error) {
		w.opened = append(w.opened, path)
		return nil, nil
	}}
	for _, kind := range []string{"listener", "tcp listener", "listener tracing", "listener names", "named tcp listener", "udp listener", "udp matcher", "udp entrance"} {
		w.start(kind, list(kind), func(m proto.Message) (any, error) { return d.Listener("", m.(*listenerv3.Listener)) })
	}
	for _, kind := range []string{"cluster", "eds cluster", "least cluster", "ring cluster", "maglev cluster", "original cluster", "named cluster", "checked cluster"} {
		w.start(kind, list(kind), func(m proto.Message) (any, error) { return d.Cluster("", m.(*clusterv3.Cluster)) })
	}
	w.start("Assignment", list("assignment"), func(m proto.Message) (any, error) { return d.Assignment("", m.(*endpointv3.ClusterLoadAssignment)) })
	w.start("RouteTable", list("routes"), func(m proto.Message) (any, error) { return d.RouteTable("", m.(*routev3.RouteConfiguration)) })
	w.start("VirtualHost", list("host"), func(m proto.Message) (any, error) { return d.VirtualHost("", m.(*routev3.VirtualHost)) })
	w.start("Secret", list("secret"), func(m proto.Message) (any, error) { return d.Secret("", m.(*tlsv3.Secret)) })
	bootstrap := func(m proto.Message) (any, error) {
		b, err := protojson.Marshal(m)
		if err != nil {
			return nil, err
		}
		out, err := d.Bootstrap(b)
		if err != nil {
			return nil, err
		}
		out.Message = nil
		return out, nil
	}
	w.start("bootstrap", list("bootstrap"), bootstrap)
	w.start("ads", list("ads bootstrap"), bootstrap)
	w.judge()
	t.Logf("%d places, %d configurations", len(w.visited), w.decoded)
}

func list(name string) proto.Message {
	s := samples[name]
	m := find(protoreflect.FullName(s.message)).New().Interface()
	if err := protojson.Unmarshal([]byte(s.json), m); err != nil {
		panic(name + ": " + err.Error())
	}
	return m
}

func find(name protoreflect.FullName) protoreflect.MessageType {
	mt, err := protoregistry.GlobalTypes.FindMessageByName(name)
	if err != nil {
		panic(err)
	}
	return mt
}

// walk is one pass over all resources.
type walk struct {
	t       *testing.T
	root    string
	read    func(proto.Message) (any, error)
	visited map[string]bool // place → whether something there had an effect
	fields  map[string]*tally
	values  map[string][]string            // by field, see fieldValues
	excused map[protoreflect.FullName]bool // messages below neutral fields
	decoded int
	opened  []string // files of access logs, by the current configuration
}

// tally is what was seen of a field in one place.
type tally struct {
	field   string // MESSAGE.FIELD
	taken   bool   // by the sample
	changed bool
	silent  []string // values that were taken without an effect
	lost    []string // refusals that do not lead to it
}

func (w *walk) start(root string, m proto.Message, read func(proto.Message) (any, error)) {
	w.root, w.read = root, read
	base, err := w.decode(m)
	if err != nil {
		w.t.Fatalf("%s: the sample is refused: %v", root, err)
	}
	w.visit(m, nil, base)
}

func (w *walk) decode(m proto.Message) (string, error) {
	w.decoded++
	w.opened = nil
	v, err := w.read(m)
	if err != nil {
		return "", err
	}
	return dump(v) + strings.Join(w.opened, " "), nil
}

// step leads from a message to one below it: a field, and for lists and maps which element. Any values are opened on the way.
type step struct {
	field protoreflect.FieldDescriptor
	index int
	key   protoreflect.MapKey
}

func (s step) String() string {
	switch {
	case s.field.IsMap():
		return fmt.Sprintf("%s[%q]", s.field.Name(), s.key.String())
	case s.field.IsList():
		return fmt.Sprintf("%s[%d]", s.field.Name(), s.index)
	}
	return string(s.field.Name())
}

func pathOf(steps []step) string {
	var parts []string
	for _, s := range steps {
		parts = append(parts, s.String())
	}
	return strings.Join(parts, ".")
}

// edit changes the message at the end of the steps, in a copy of root.
func edit(root proto.Message, steps []step, change func(protoreflect.Message)) proto.Message {
	out := proto.Clone(root)
	descend(out.ProtoReflect(), steps, change)
	return out
}

func descend(m protoreflect.Message, steps []step, change func(protoreflect.Message)) {
	if a, ok := m.Interface().(*anypb.Any); ok {
		inner, err := a.UnmarshalNew()
		if err != nil {
			panic(err)
		}
		descend(inner.ProtoReflect(), steps, change)
		if a.Value, err = (proto.MarshalOptions{Deterministic: true}).Marshal(inner); err != nil {
			panic(err)
		}
		return
	}
	if len(steps) == 0 {
		change(m)
		return
	}
	s := steps[0]
	switch {
	case s.field.IsMap():
		descend(m.Mutable(s.field).Map().Mutable(s.key).Message(), steps[1:], change)
	case s.field.IsList():
		descend(m.Mutable(s.field).List().Get(s.index).Message(), steps[1:], change)
	default:
		descend(m.Mutable(s.field).Message(), steps[1:], change)
	}
}

// visit sets the fields of the message at the end of the steps, one after the other.
// It says whether any of them had an effect, there or below.
func (w *walk) visit(root proto.Message, steps []step, base string) (effect bool) {
	var m protoreflect.Message
	edit(root, steps, func(at protoreflect.Message) { m = at })
	place := w.place(steps, m)
	if effect, seen := w.visited[place]; seen || w.elsewhere(steps, m) || opaque(m) || recursive(steps, m) {
		return effect
	}
	w.visited[place] = false
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		of := &tally{field: string(m.Descriptor().FullName()) + "." + string(f.Name())}
		w.fields[place+" "+string(f.Name())] = of
		of.taken, of.changed = m.Has(f), w.existing(root, steps, m, f, base)
		for _, value := range w.candidates(m, f) {
			w.try(of, root, steps, f, value, base)
		}
		effect = effect || of.changed
	}
	w.visited[place] = effect
	return effect
}

// elsewhere says whether a resource inside a bootstrap has been looked at already as one of its own. The control plane's cluster is read in a way of its own.
func (w *walk) elsewhere(steps []step, m protoreflect.Message) bool {
	switch m.Interface().(type) {
	case *listenerv3.Listener, *tlsv3.Secret:
		return len(steps) > 0
	case *clusterv3.Cluster:
		return w.root == "bootstrap"
	}
	return false
}

// recursive says whether a message stands inside one of its own kind: nothing new can be seen there.
func recursive(steps []step, m protoreflect.Message) bool {
	return slices.ContainsFunc(steps, func(s step) bool { return s.field.ContainingMessage() == m.Descriptor() })
}

// place tells contexts apart by the last messages on the way; the same message may be read by different code in each.
func (w *walk) place(steps []step, m protoreflect.Message) string {
	const depth = 3
	parts := []string{w.root}
	if kind := strings.Fields(w.root); len(steps) >= depth { // what stands deep down is the same in all samples of a kind
		parts = kind[len(kind)-1:]
	}
	for _, s := range steps[max(0, len(steps)-depth):] {
		parts = append(parts, string(s.field.FullName()))
	}
	parts = append(parts, string(m.Descriptor().FullName()))
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool { // a filter is what its configuration is
		if f.Message() != nil && !f.IsList() && !f.IsMap() {
			if a, ok := v.Message().Interface().(*anypb.Any); ok {
				parts = append(parts, string(a.MessageName()))
			}
		}
		return true
	})
	return strings.Join(parts, " ")
}

// existing goes down into what the sample has already.
func (w *walk) existing(root proto.Message, steps []step, m protoreflect.Message, f protoreflect.FieldDescriptor, base string) (effect bool) {
	if !m.Has(f) || f.Message() == nil || f.IsMap() && f.MapValue().Message() == nil {
		return false
	}
	down := func(next step) { effect = w.visit(root, append(slices.Clone(steps), next), base) || effect }
	switch {
	case f.IsMap():
		m.Get(f).Map().Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool { down(step{field: f, key: k}); return true })
	case f.IsList():
		for i := range m.Get(f).List().Len() {
			down(step{field: f, index: i})
		}
	default:
		down(step{field: f})
	}
	return effect
}

// try sets a field to a value, that of the same field of a message with nothing else in it.
func (w *walk) try(of *tally, root proto.Message, steps []step, f protoreflect.FieldDescriptor, value protoreflect.Message, base string) {
	next := step{field: f}
	changed := edit(root, steps, func(m protoreflect.Message) { next = put(m, f, value) })
	at := join(pathOf(steps), string(f.Name()))
	got, err := w.decode(changed)
	if err != nil {
		if !names(err, at, pathOf(steps)) && elsewhere[of.field] == "" {
			of.lost = append(of.lost, fmt.Sprintf("%s %s = %s: %v", w.root, at, show(value), err))
		}
		return
	}
	effect := got != base
	switch {
	case f.Message() == nil || f.IsMap() && f.MapValue().Message() == nil:
	case !effect && neutral[of.field] != "":
		w.excuse(f.Message())
	default:
		effect = w.visit(changed, append(slices.Clone(steps), next), got) || effect
	}
	if of.changed = of.changed || effect; !effect {
		of.silent = append(of.silent, fmt.Sprintf("%s %s = %s", w.root, at, show(value)))
	}
}

// excuse says that what stands below a neutral field need not be reached.
func (w *walk) excuse(m protoreflect.MessageDescriptor) {
	if m == nil || w.excused[m.FullName()] {
		return
	}
	w.excused[m.FullName()] = true
	for i := range m.Fields().Len() {
		w.excuse(m.Fields().Get(i).Message())
	}
}

// names says whether a refusal leads to the field: by its path, or by that of the message that it stands in.
func names(err error, field, message string) bool {
	var all Problems
	return errors.As(err, &all) && slices.ContainsFunc(all, func(p Problem) bool { return strings.HasPrefix(p.Path, field) || p.Path == message })
}

func show(m protoreflect.Message) string { return protojson.MarshalOptions{}.Format(m.Interface()) }

// put sets a field in m: elements are added to lists and maps.
func put(m protoreflect.Message, f protoreflect.FieldDescriptor, value protoreflect.Message) step {
	next := step{field: f}
	switch {
	case f.IsMap():
		value.Get(f).Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			m.Mutable(f).Map().Set(k, v)
			next.key = k
			return true
		})
	case f.IsList():
		to := m.Mutable(f).List()
		for i := range value.Get(f).List().Len() {
			to.Append(value.Get(f).List().Get(i))
		}
		next.index = to.Len() - 1
	case value.Has(f):
		m.Set(f, value.Get(f))
	default:
		m.Clear(f)
	}
	return next
}

// judge looks at what was seen of every field.
func (w *walk) judge() {
	reached, taken, quiet := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, place := range slices.Sorted(maps.Keys(w.fields)) {
		of := w.fields[place]
		reached[of.field] = true
		taken[of.field] = taken[of.field] || of.taken || of.changed || len(of.silent) > 0
		if len(of.lost) > 0 {
			w.t.Errorf("%s is refused without its path: %s", of.field, of.lost[0])
		}
		if !of.changed && len(of.silent) > 0 {
			if quiet[of.field] = true; neutral[of.field] == "" {
				w.t.Errorf("%s is taken and changes nothing: %s", of.field, of.silent[0])
			}
		}
	}
	rules := maps.Collect(honour.Messages())
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		for _, f := range slices.Sorted(rules[name].Fields()) {
			switch field := string(name) + "." + string(f); {
			case !reached[field] && !w.excused[name]:
				w.t.Errorf("%s is honoured and was never reached; give the test a sample", field)
			case !taken[field] && reached[field]:
				w.t.Errorf("%s is honoured, but no value of the test is taken; give it one", field)
			}
		}
	}
	for field, reason := range neutral {
		if !quiet[field] {
			w.t.Errorf("%s is listed as neutral (%s) but has an effect, or is refused, everywhere", field, reason)
		}
	}
}

func opaque(m protoreflect.Message) bool {
	r, _ := honour.RuleOf(m.Descriptor().FullName())
	return r.Opaque()
}
