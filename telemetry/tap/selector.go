package tap

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/telemetry/attribute"
)

// Selector chooses events; the zero Selector chooses all. All of its conditions must hold.
type Selector struct {
	conditions []condition
	cel        []*attribute.Expression
	// What a proxy may look at before it makes an event; see Conditions.
	values url.Values
}

type condition struct {
	not  bool
	test func(*Event) bool
}

// notPrefix negates a condition: not.from=shop/web.
const notPrefix = "not."

// keys are the conditions by name, in the order in which help lists them.
var keys = []struct {
	name, want string
	make       func(value string) (func(*Event) bool, error)
}{
	{"from", "a workload, NAMESPACE/WORKLOAD, a service, an address, a prefix such as 10.0.0.0/8, or an identity", func(v string) (func(*Event) bool, error) {
		return side(v, func(e *Event) (*Side, string) { return &e.Source, e.Downstream })
	}},
	{"to", "a workload, NAMESPACE/WORKLOAD, a service, an address, a prefix such as 10.0.0.0/8, or an identity", func(v string) (func(*Event) bool, error) {
		return side(v, func(e *Event) (*Side, string) { return &e.Destination, e.Endpoint })
	}},
	{"from_namespace", "a namespace", func(v string) (func(*Event) bool, error) {
		return func(e *Event) bool { return e.Source.Namespace == v }, nil
	}},
	{"to_namespace", "a namespace", func(v string) (func(*Event) bool, error) {
		return func(e *Event) bool { return e.Destination.Namespace == v }, nil
	}},
	{"namespace", "a namespace, on either side", func(v string) (func(*Event) bool, error) {
		return func(e *Event) bool { return e.Source.Namespace == v || e.Destination.Namespace == v }, nil
	}},
	{"method", "a method", func(v string) (func(*Event) bool, error) {
		return func(e *Event) bool { return strings.EqualFold(e.Method, v) }, nil
	}},
	{"path", "how a path begins", func(v string) (func(*Event) bool, error) {
		return func(e *Event) bool { return strings.HasPrefix(e.Path, v) }, nil
	}},
	{"authority", "a host, as the request names it", func(v string) (func(*Event) bool, error) {
		return func(e *Event) bool { return strings.EqualFold(e.Authority, v) }, nil
	}},
	{"route", "a route", func(v string) (func(*Event) bool, error) { return func(e *Event) bool { return e.Route == v }, nil }},
	{"cluster", "an upstream cluster", func(v string) (func(*Event) bool, error) { return func(e *Event) bool { return e.Cluster == v }, nil }},
	{"direction", "inbound, outbound or unspecified", direction},
	{"header", "a request header: NAME or NAME:VALUE", header},
	{"status", "a code such as 404, or a class such as 5xx", status},
	{"slower", "a duration such as 200ms", slower},
	{"request_id", "a request id", func(v string) (func(*Event) bool, error) { return func(e *Event) bool { return e.ID == v }, nil }},
	{"trace_id", "a trace id", func(v string) (func(*Event) bool, error) {
		return func(e *Event) bool { return strings.EqualFold(e.Trace, v) }, nil
	}},
	{"failed", "true or false", failed},
}

// Keys are the names of the conditions that a query may have, each also as not.NAME, and cel.
func Keys() (out []string) {
	for _, k := range keys {
		out = append(out, k.name)
	}
	return append(out, "cel")
}

// IsKey says whether a query's key is a condition.
func IsKey(key string) bool { return slices.Contains(Keys(), strings.TrimPrefix(key, notPrefix)) }

// Parse reads a selector from a query's values. Several values of one key are alternatives, as those of a negated key are: none of them may hold. The error says which key is
// wrong, and what it takes.
func Parse(q url.Values) (s Selector, err error) {
	s.values = url.Values{}
	for key, values := range q {
		s.values[key] = values
		name, not := strings.CutPrefix(key, notPrefix)
		if name == "cel" {
			if err := s.expressions(values, not); err != nil {
				return s, err
			}
			continue
		}
		at := slices.IndexFunc(keys, func(k struct {
			name, want string
			make       func(string) (func(*Event) bool, error)
		}) bool {
			return k.name == name
		})
		if at < 0 {
			return s, fmt.Errorf("%s: unknown; known are %s", key, strings.Join(Keys(), ", "))
		}
		var tests []func(*Event) bool
		for _, v := range values {
			test, err := keys[at].make(v)
			if err != nil || v == "" {
				return s, fmt.Errorf("%s: %q is not %s", name, v, keys[at].want)
			}
			tests = append(tests, test)
		}
		s.conditions = append(s.conditions, condition{not, func(e *Event) bool {
			return slices.ContainsFunc(tests, func(t func(*Event) bool) bool { return t(e) })
		}})
	}
	return s, nil
}

func (s *Selector) expressions(list []string, not bool) error {
	if not {
		return errors.New("cel: an expression negates itself with !(…)")
	}
	for _, text := range list {
		x, err := attribute.Parse(text)
		if err != nil {
			return fmt.Errorf("cel: %w", err)
		}
		for _, n := range x.Uses() {
			if !answered(n) {
				return fmt.Errorf("cel: %s is not told of tapped requests; request.*, response.code, source.address, upstream.address, connection.mtls and xds.* are", n)
			}
		}
		s.cel = append(s.cel, x)
	}
	return nil
}

// Matches says whether the selector chooses an event.
func (s *Selector) Matches(e *Event) bool {
	for _, c := range s.conditions {
		if c.test(e) == c.not {
			return false
		}
	}
	for _, x := range s.cel {
		if !x.True(attributes{e}) {
			return false
		}
	}
	return true
}

// NeedsHeaders says whether the selector looks at headers, which are not kept of requests that are over.
func (s *Selector) NeedsHeaders() bool {
	if s.values.Has("header") || s.values.Has(notPrefix+"header") {
		return true
	}
	for _, x := range s.cel {
		if slices.ContainsFunc(x.Uses(), func(n attribute.Name) bool { return n.Key != "" || n.Field == "referer" || n.Field == "useragent" }) {
			return true
		}
	}
	return false
}

// One is the only value of a condition that is not negated, "" where there is none or several: a proxy looks at it before it makes an event.
func (s *Selector) One(key string) string {
	if v := s.values[key]; len(v) == 1 {
		return v[0]
	}
	return ""
}

// side is a condition on one end of a request.
func side(v string, of func(*Event) (*Side, string)) (func(*Event) bool, error) {
	if prefix, err := netip.ParsePrefix(v); err == nil {
		return func(e *Event) bool {
			_, address := of(e)
			ap, err := netip.ParseAddrPort(address)
			return err == nil && prefix.Contains(ap.Addr().Unmap())
		}, nil
	}
	if ip, err := netip.ParseAddr(v); err == nil {
		return func(e *Event) bool {
			_, address := of(e)
			ap, err := netip.ParseAddrPort(address)
			return err == nil && ap.Addr().Unmap() == ip
		}, nil
	}
	if strings.HasPrefix(v, "spiffe://") {
		return func(e *Event) bool { s, _ := of(e); return s.Principal == v }, nil
	}
	namespace, name, both := strings.Cut(v, "/")
	if !both {
		namespace, name = "", v
	}
	if name == "" || strings.Contains(name, "/") {
		return nil, errors.New("no name")
	}
	return func(e *Event) bool {
		s, address := of(e)
		if namespace != "" && s.Namespace != namespace {
			return false
		}
		return s.Workload == name || s.Workload+"."+s.Namespace == name || s.Service == name || strings.HasPrefix(s.Service, name+".") || address == name
	}, nil
}

func direction(v string) (func(*Event) bool, error) {
	if v != "inbound" && v != "outbound" && v != "unspecified" {
		return nil, errors.New("unknown")
	}
	return func(e *Event) bool { return e.Direction == v }, nil
}

func header(v string) (func(*Event) bool, error) {
	name, value, with := strings.Cut(v, ":")
	name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
	return func(e *Event) bool {
		is, ok := headerOf(e.Request, name)
		return ok && (!with || is == value)
	}, nil
}

func status(v string) (func(*Event) bool, error) {
	v = strings.ToLower(v)
	if len(v) != 3 || strings.Trim(v, "0123456789x") != "" {
		return nil, errors.New("no code")
	}
	return func(e *Event) bool {
		code := fmt.Sprintf("%03d", e.Status)
		for i := range code {
			if v[i] != 'x' && v[i] != code[i] {
				return false
			}
		}
		return true
	}, nil
}

func slower(v string) (func(*Event) bool, error) {
	d, err := time.ParseDuration(v)
	return func(e *Event) bool { return e.Duration >= float64(d)/float64(time.Millisecond) }, err
}

func failed(v string) (func(*Event) bool, error) {
	want, err := strconv.ParseBool(v)
	return func(e *Event) bool { return e.Failed() == want }, err
}
