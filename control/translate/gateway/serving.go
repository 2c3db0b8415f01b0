package gateway

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// maxAddresses is the most that status.addresses may hold.
const maxAddresses = 16

// bind has a gateway served by the workloads behind a Service, as Istio understands an address of type Hostname: where nobody makes a proxy for each
// gateway, one that is there serves it. It gives why that is not possible, or "".
func (v *visit) bind(g *mesh.Gateway, name string) (unusable string) {
	host := mesh.Host(strings.ToLower(name))
	if !strings.Contains(name, ".") {
		host = serviceHost(name, v.ns, v.in)
	}
	const field = "spec.addresses[0].value"
	svc, ok := v.in.Service(host, v.ns)
	switch {
	case !ok || svc.ID.Host != host:
		unusable = fmt.Sprintf("there is no Service %s", name)
	case len(svc.Selector) == 0:
		unusable = fmt.Sprintf("Service %s selects no workloads", name)
	default:
		g.Namespace, g.Selector = svc.ID.Namespace, svc.Selector
		return ""
	}
	g.Selector = nil
	v.NotFound(field, "", "%s, so nothing serves the gateway", unusable)
	return field + ": " + unusable
}

// Serving is what serves a Gateway.
type Serving struct {
	Workloads int          // that its selector finds
	Own       []netip.Addr // of these workloads
	Fronts    []Front      // the Services in front of them
}

// Front is a Service in front of a gateway's workloads.
type Front struct {
	Name     string   // NAMESPACE/NAME
	Balanced bool     // of type LoadBalancer
	Outside  []string // addresses and host names that its load balancer has, and its external addresses
	Inside   []netip.Addr
}

// WithServing fills in the addresses at which a gateway is reached: those that lead to its Services from outside, else the Services' own, else the
// workloads' own. A gateway without any is not programmed.
func WithServing(s condition.Status, g *mesh.Gateway, by Serving) condition.Status {
	var waiting []string
	outside, inside := []condition.Address{}, []condition.Address{}
	for _, f := range by.Fronts {
		for _, a := range f.Outside {
			outside = append(outside, address(a))
		}
		for _, a := range f.Inside {
			inside = append(inside, address(a.String()))
		}
		if f.Balanced && len(f.Outside) == 0 {
			waiting = append(waiting, f.Name)
		}
	}
	switch {
	case len(outside) > 0:
		s.Addresses = outside
	case len(waiting) > 0:
	case len(inside) > 0:
		s.Addresses = inside
	case len(g.Addresses) > 0:
	default:
		for _, a := range by.Own {
			s.Addresses = append(s.Addresses, address(a.String()))
		}
	}
	slices.SortFunc(s.Addresses, func(a, b condition.Address) int { return strings.Compare(b.Type+" "+a.Value, a.Type+" "+b.Value) })
	s.Addresses = slices.Compact(s.Addresses)
	lost := keep(&s, g.Addresses)
	s.Addresses = s.Addresses[:min(len(s.Addresses), maxAddresses)]
	reason := string(gwv1.GatewayReasonAddressNotAssigned)
	switch {
	case len(g.Selector) == 0:
	case len(lost) > 0:
		notProgrammed(&s, string(gwv1.GatewayReasonAddressNotUsable), unusable(lost, by.Fronts))
	case len(s.Addresses) > 0:
	case len(waiting) > 0:
		notProgrammed(&s, reason, fmt.Sprintf("Service %s waits for the address of its load balancer", strings.Join(waiting, ", ")))
	default:
		notProgrammed(&s, reason, fmt.Sprintf("nothing serves the gateway: no workload in namespace %s has the labels %s", g.Namespace, labelText(g.Selector)))
		pending(&s)
	}
	return s
}

// keep leaves of the addresses those that were asked for, if any were, and gives the ones that are missing.
func keep(s *condition.Status, asked []netip.Addr) (lost []string) {
	if len(asked) == 0 {
		return nil
	}
	s.Addresses = slices.DeleteFunc(s.Addresses, func(a condition.Address) bool { return len(missing(asked, []string{a.Value})) == len(asked) })
	var have []string
	for _, a := range s.Addresses {
		have = append(have, a.Value)
	}
	return missing(asked, have)
}

func address(text string) condition.Address {
	if _, err := netip.ParseAddr(text); err != nil {
		return condition.Address{Type: string(gwv1.HostnameAddressType), Value: text}
	}
	return condition.Address{Type: string(gwv1.IPAddressType), Value: text}
}

func labelText(l mesh.Labels) string {
	var out []string
	for k, v := range l {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

// notProgrammed says of a gateway that would be programmed why it is not.
func notProgrammed(s *condition.Status, reason, message string) {
	s.Conditions = unprogrammed(s.Conditions, reason, message)
}

// pending says the same of the listeners.
func pending(s *condition.Status) {
	s.Listeners = slices.Clone(s.Listeners)
	for i := range s.Listeners {
		s.Listeners[i].Conditions = unprogrammed(s.Listeners[i].Conditions, string(gwv1.ListenerReasonPending), "nothing serves the gateway")
	}
}

func unprogrammed(list []condition.Condition, reason, message string) []condition.Condition {
	list = slices.Clone(list)
	for i := range list {
		if c := &list[i]; c.Type == string(gwv1.GatewayConditionProgrammed) && c.Status == "True" {
			c.Status, c.Reason, c.Message = "False", reason, message
		}
	}
	return list
}

// WithRoutes fills in how many of the routes, which come oldest first, are attached to each listener.
func WithRoutes(s condition.Status, id mesh.GatewayID, routes []*mesh.Route) condition.Status {
	s.Listeners = slices.Clone(s.Listeners)
	for i := range s.Listeners {
		n := int32(0)
		outranked := mesh.Outranked(id, s.Listeners[i].Name, routes)
		for _, r := range routes {
			if outranked[r] == nil && slices.ContainsFunc(r.Parents, func(p mesh.Parent) bool { return p.Gateway == id && p.Listener == s.Listeners[i].Name }) {
				n++
			}
		}
		s.Listeners[i].AttachedRoutes = n
	}
	return s
}
