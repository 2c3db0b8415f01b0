package gateway

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// addresses reads the addresses that a gateway asks for (GatewaySpec.addresses): those that its own load balancer shall have, or the one host name of a Service whose workloads
// serve it. An entry without a value asks for any address of its type, and adds nothing. fault is one sentence, "" if all is well.
func (v *visit) addresses(spec *gwv1.GatewaySpec) (asked []netip.Addr, service, fault string) {
	for i, a := range spec.Addresses {
		kind, path := deref(a.Type, gwv1.IPAddressType), fmt.Sprintf("spec.addresses[%d]", i)
		switch {
		case kind != gwv1.IPAddressType && kind != gwv1.HostnameAddressType:
			return nil, "", fmt.Sprintf("%s.type: addresses of type %s are not possible; IPAddress and Hostname are", path, kind)
		case a.Value == "":
		case kind == gwv1.HostnameAddressType && len(spec.Addresses) > 1:
			return nil, "", path + ": the host name of the Service whose workloads shall serve the gateway can be its only address"
		case kind == gwv1.HostnameAddressType:
			service = a.Value
		case !v.in.Settings().Injects:
			return nil, "", path + ": an IP address needs a load balancer of the gateway's own, and no workloads are made for gateways here; name the Service whose workloads shall serve it, with type Hostname"
		default:
			ip, err := netip.ParseAddr(a.Value)
			if err != nil {
				return nil, "", fmt.Sprintf("%s.value: %q is not an IP address", path, a.Value)
			}
			asked = append(asked, ip)
		}
	}
	return asked, service, ""
}

// missing are the addresses that a gateway asked for and does not have.
func missing(asked []netip.Addr, have []string) (out []string) {
	for _, a := range asked {
		if !slices.ContainsFunc(have, func(h string) bool { ip, err := netip.ParseAddr(h); return err == nil && ip == a }) {
			out = append(out, a.String())
		}
	}
	return out
}

// unusable says which addresses have not been given, and by whom.
func unusable(lost []string, fronts []Front) string {
	var names []string
	for _, f := range fronts {
		if f.Balanced {
			names = append(names, f.Name)
		}
	}
	if len(names) == 0 {
		return fmt.Sprintf("spec.addresses: %s cannot be had, because no Service of type LoadBalancer is in front of the gateway", strings.Join(lost, ", "))
	}
	return fmt.Sprintf("spec.addresses: the load balancer of Service %s does not give %s", strings.Join(names, ", "), strings.Join(lost, ", "))
}
