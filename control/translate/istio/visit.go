package istio

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config/bounds"
	"github.com/heddle-mesh/heddle/control/translate/note"
	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// visit is the state of one translation.
type visit struct {
	*note.Pad
	in  Lookup
	obj api.Object
	ns  mesh.Namespace
	// unhonoured are the populated fields that no code reads; rules that cannot do without them are dropped.
	unhonoured []string
	elsewhere  []mesh.Problem                     // of other objects
	leaves     map[mesh.Ref]map[int]mesh.HTTPRule // rules of the delegates that were included
	joined     int                                // pairs of matches of rules that include delegates
}

func open(o api.Object, in Lookup) *visit {
	return &visit{Pad: note.For(o), in: in, obj: o, ns: mesh.Namespace(o.Meta.Namespace)}
}

// check writes down what the table does not list.
func (v *visit) check(table api.FieldSet, skip func(string) bool) {
	v.unhonoured = v.Unhonoured(v.obj, table, skip)
}

// host reads a host name of the object, resolved; a mistake is written down.
func (v *visit) host(s, path string) (mesh.Host, bool) {
	h, err := resolve(s, v.ns, v.in)
	if err != nil {
		v.Invalid(path, "%q is not a host name", s)
		return "", false
	}
	return h, true
}

// exportTo reads the visibility of the object.
func (v *visit) exportTo(list []string) mesh.Visibility {
	if len(list) == 0 {
		return exported(v.obj.Kind.Kind, v.in)
	}
	vis, bad := visibility(list)
	if bad >= 0 {
		v.Add(mesh.CodeInvalid, fmt.Sprintf("spec.exportTo[%d]", bad), `write "*" or "~" alone, or a list of "." and namespaces`, "%q is not a namespace here", list[bad])
	}
	return vis
}

// port checks a port number.
func (v *visit) port(n uint32, path string) uint16 {
	if n == 0 || n > 65535 {
		v.Invalid(path, "%d is not a port number", n)
		return 0
	}
	return uint16(n)
}

// duration checks a time that must be at least 1 ms; nil gives 0.
func (v *visit) duration(d *durationpb.Duration, path string) time.Duration {
	return bounds.Duration(d, func(format string, args ...any) { v.Invalid(path, format, args...) })
}

// count checks a number that must not be negative.
func (v *visit) count(n int32, path string) uint32 {
	if n < 0 {
		v.Invalid(path, "%d is negative", n)
		return 0
	}
	return uint32(n)
}

// stringMatch reads a condition; nil or one without a value matches everything (presence for headers).
func (v *visit) stringMatch(m *networking.StringMatch, ignoreCase bool, path string) mesh.StringMatch {
	switch t := m.GetMatchType().(type) {
	case *networking.StringMatch_Exact:
		v.matcher(t.Exact, path+".exact")
		return mesh.StringMatch{Kind: mesh.MatchExact, Value: t.Exact, IgnoreCase: ignoreCase}
	case *networking.StringMatch_Prefix:
		v.matcher(t.Prefix, path+".prefix")
		return mesh.StringMatch{Kind: mesh.MatchPrefix, Value: t.Prefix, IgnoreCase: ignoreCase}
	case *networking.StringMatch_Regex:
		v.regex(t.Regex, path+".regex")
		return mesh.StringMatch{Kind: mesh.MatchRegex, Value: t.Regex}
	}
	return mesh.StringMatch{}
}

// maxMatcher is the longest text that a condition may ask for: no proxy takes a longer head of a request (Envoy's max_request_headers_kb is 60).
const maxMatcher = 60 << 10

func (v *visit) matcher(s, path string) {
	if len(s) > maxMatcher {
		v.Add(mesh.CodeInvalid, path, "match a prefix, or a header that says less", "it has %d characters, and no request has more than %d", len(s), maxMatcher)
	}
}

func (v *visit) regex(s, path string) {
	v.Regexp(s, path)
}

// percent gives millionths: Envoy's MILLION denominator.
func (v *visit) percent(p *networking.Percent, path string) uint32 {
	x := p.GetValue()
	if !(x >= 0 && x <= 100) {
		v.Invalid(path+".value", "%v is not a percentage from 0 to 100", x)
		return 0
	}
	return uint32(x*10_000 + 0.5)
}

// prefix reads an IP address or CIDR block.
func parsePrefix(s string) (netip.Prefix, bool) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, false
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

func shorten(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

// at appends an index to a path.
func at(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// keyed appends a map key to a path.
func keyed(path, key string) string { return fmt.Sprintf("%s[%q]", path, key) }

// sorted gives the keys of a map in order.
func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// headerName says whether a name may be that of a header field (RFC 9110 section 5.1).
func headerName(s string) bool {
	if s == "" {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return true
}

// headerValue says whether a value may be sent (RFC 9110 section 5.5).
func headerValue(s string) bool {
	return !strings.ContainsAny(s, "\r\n\x00")
}

// emptyMessage says whether nothing is populated.
func emptyMessage(m proto.Message) bool { return proto.Size(m) == 0 }
