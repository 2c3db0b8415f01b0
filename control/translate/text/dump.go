// Package text writes nouns as indented text for goldens and people: zero values are left out, enumerations have their names, lists keep their order.
//
// In: any plain value. Out: text that is the same for equal values. Pure; safe for concurrent use.
package text

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/authz"
	"github.com/heddle-mesh/heddle/mesh"
)

// names of enumerations, in the order of their values.
var names = map[reflect.Type][]string{
	reflect.TypeFor[mesh.MatchKind]():           {"any", "exact", "prefix", "regex", "path-prefix", "present"},
	reflect.TypeFor[mesh.Protocol]():            {"auto", "TCP", "TLS", "HTTP", "HTTPS", "HTTP2", "GRPC", "GRPCWeb", "UDP", "Mongo", "MySQL", "Redis"},
	reflect.TypeFor[mesh.Resolution]():          {"static", "DNS", "DNS-round-robin", "passthrough"},
	reflect.TypeFor[mesh.Algorithm]():           {"least-request", "round-robin", "random", "passthrough"},
	reflect.TypeFor[mesh.TLSMode]():             {"disable", "simple", "mutual", "istio-mutual"},
	reflect.TypeFor[mesh.ServerTLSMode]():       {"simple", "mutual", "passthrough", "istio-mutual", "optional-mutual", "auto-passthrough"},
	reflect.TypeFor[mesh.MTLSMode]():            {"unset", "disable", "permissive", "strict"},
	reflect.TypeFor[authz.Action]():             {"allow", "deny", "audit", "custom"},
	reflect.TypeFor[authz.MatchKind]():          {"exact", "prefix", "suffix", "presence", "template"},
	reflect.TypeFor[mesh.Dialect]():             {"istio", "gateway-api"},
	reflect.TypeFor[mesh.PathForm]():            {"base", "merge-slashes", "decode-and-merge-slashes", "as-they-are"},
	reflect.TypeFor[mesh.Side]():                {"both", "client", "server"},
	reflect.TypeFor[mesh.TagKind]():             {"literal", "header", "variable", "format"},
	reflect.TypeFor[mesh.LogKind]():             {"requests", "connections", "OTLP"},
	reflect.TypeFor[mesh.Choice]():              {"unsaid", "no", "yes"},
	reflect.TypeFor[mesh.Underscores]():         {"allow", "reject", "drop"},
	reflect.TypeFor[mesh.EscapedSlashes]():      {"unsaid", "keep", "reject", "redirect", "forward"},
	reflect.TypeFor[mesh.ForwardCertificates](): {"by-role", "sanitize", "forward-only", "append", "sanitize-set", "always-forward"},
	reflect.TypeFor[mesh.PatchTarget](): {"", "listener", "listener-filter", "filter-chain", "network-filter", "HTTP-filter", "route-configuration", "virtual-host", "HTTP-route", "cluster",
		"extension"},
	reflect.TypeFor[mesh.PatchContext]():   {"anywhere", "inbound", "outbound", "gateway"},
	reflect.TypeFor[mesh.PatchOperation](): {"", "merge", "merge-lists", "add", "remove", "insert-before", "insert-after", "insert-first", "replace"},
	reflect.TypeFor[mesh.PatchClass]():     {"unplaced", "after-authn", "after-authz", "before-stats"},
	reflect.TypeFor[mesh.PatchAction]():    {"any", "route", "redirect", "direct-response"},
}

// Dump writes a value; the first line is its type's name.
func Dump(v any) string {
	var b strings.Builder
	rv := reflect.ValueOf(v)
	for rv.Kind() == reflect.Pointer && !rv.IsNil() {
		rv = rv.Elem()
	}
	b.WriteString(rv.Type().Name())
	write(&b, rv, 1)
	return b.String()
}

var stringer = reflect.TypeFor[fmt.Stringer]()

// short gives values that stand on one line.
func short(v reflect.Value) (string, bool) {
	if list, ok := names[v.Type()]; ok && int(v.Uint()) < len(list) {
		return list[v.Uint()], true
	}
	switch x := v.Interface().(type) {
	case time.Time:
		return x.UTC().Format(time.RFC3339), true
	case mesh.GatewayID:
		if x.Set {
			return fmt.Sprintf("listener-set %s/%s", x.Namespace, x.Name), true
		}
		return fmt.Sprintf("%s %s/%s", names[reflect.TypeFor[mesh.Dialect]()][x.Dialect], x.Namespace, x.Name), true
	case authz.Match:
		return fmt.Sprintf("%s %q", names[reflect.TypeFor[authz.MatchKind]()][x.Kind], x.Value), true
	case []byte:
		return fmt.Sprintf("%q", x), true
	}
	if v.Type().Implements(stringer) {
		return v.Interface().(fmt.Stringer).String(), true
	}
	switch v.Kind() {
	case reflect.String:
		return fmt.Sprintf("%q", v.String()), true
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Pointer, reflect.Interface:
		return "", false
	}
	return fmt.Sprint(v.Interface()), true
}

// write puts a value behind what stands on the line already, and ends the line.
func write(b *strings.Builder, v reflect.Value, depth int) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if re, ok := v.Interface().(*regexp.Regexp); ok {
			b.WriteString(" " + re.String() + "\n")
			return
		}
		v = v.Elem()
	}
	if s, ok := short(v); ok {
		b.WriteString(" " + s + "\n")
		return
	}
	b.WriteByte('\n')
	indent := strings.Repeat("  ", depth)
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if fv := v.Field(i); f.IsExported() && !empty(fv) {
				b.WriteString(indent + f.Name)
				write(b, fv, depth+1)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			b.WriteString(indent + "-")
			write(b, v.Index(i), depth+1)
		}
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(fmt.Sprintf("%9v", a), fmt.Sprintf("%9v", b)) })
		for _, k := range keys {
			fmt.Fprintf(b, "%s%v:", indent, k)
			write(b, v.MapIndex(k), depth+1)
		}
	}
}

func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Interface:
		return v.IsNil() || empty(v.Elem())
	}
	return v.IsZero()
}
