package filter

import (
	"strconv"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	networkrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"

	"github.com/heddle-mesh/heddle/authz"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// Guard is what protects a port of a workload: the policies in force and what makes it deny everything.
type Guard struct {
	Denials     []*mesh.Denial
	Deny, Allow []*mesh.Authorization
	strangers   bool
}

// GuardOf reads the protection of a port.
func GuardOf(v *view.View, port uint16) Guard {
	return Guard{Denials: v.Denials(port), Deny: v.Policies(authz.Deny), Allow: v.Policies(authz.Allow)}
}

// AgainstStrangers is the same protection where a client's certificate is nobody's identity: to policies it has none.
func (g Guard) AgainstStrangers() Guard {
	g.strangers = true
	return g
}

// Empty says that nothing protects the port.
func (g Guard) Empty() bool { return len(g.Denials)+len(g.Deny)+len(g.Allow) == 0 }

// HTTP are the filters for requests, in Istio's order: DENY, then ALLOW.
func (g Guard) HTTP() []*hcmv3.HttpFilter {
	var out []*hcmv3.HttpFilter
	for _, rules := range g.rules(false) {
		out = append(out, http(httpRBACName, &httprbacv3.RBAC{Rules: rules}))
	}
	return out
}

// GRPC are the filters for the calls that a gRPC server takes, in the same order. Each has a name of its own, without which gRPC refuses the listener (gRFC A39).
func (g Guard) GRPC() []*hcmv3.HttpFilter {
	out := g.HTTP()
	for i, f := range out {
		f.Name += "." + strconv.Itoa(i)
	}
	return out
}

// TCP are the filters for connections, in the same order.
func (g Guard) TCP() []*listenerv3.Filter {
	var out []*listenerv3.Filter
	for _, rules := range g.rules(true) {
		out = append(out, network(networkRBACName, &networkrbacv3.RBAC{Rules: rules, StatPrefix: "tcp."}))
	}
	return out
}

func (g Guard) rules(tcp bool) []*rbacv3.RBAC {
	var out []*rbacv3.RBAC
	if deny := g.deny(tcp); len(deny) > 0 {
		out = append(out, &rbacv3.RBAC{Action: rbacv3.RBAC_DENY, Policies: deny})
	}
	if len(g.Allow) > 0 {
		out = append(out, &rbacv3.RBAC{Action: rbacv3.RBAC_ALLOW, Policies: g.policies(g.Allow, tcp)})
	}
	return out
}

func (g Guard) deny(tcp bool) map[string]*rbacv3.Policy {
	out := g.policies(g.Deny, tcp)
	for _, d := range g.Denials {
		out["denied["+d.Origin.String()+"]: "+d.Reason] = &rbacv3.Policy{
			Permissions: []*rbacv3.Permission{anyPermission()}, Principals: []*rbacv3.Principal{anyPrincipal()},
		}
	}
	return out
}

func (g Guard) policies(list []*mesh.Authorization, tcp bool) map[string]*rbacv3.Policy {
	out := map[string]*rbacv3.Policy{}
	for _, a := range list {
		for i, rule := range a.Policy.Rules {
			from, possible := rule.From, true
			if g.strangers {
				from, possible = ofStrangers(from)
			}
			if !possible {
				continue
			}
			p := &rbacv3.Policy{Principals: principals(from), Permissions: permissions(rule.To, a.Policy.Action, tcp)}
			conditions := len(rule.When) > 0 && a.Policy.Action != authz.Deny // they cannot be looked at, so the rule must not allow
			if len(p.Principals) == 0 || len(p.Permissions) == 0 || conditions {
				continue
			}
			out["ns["+a.Policy.Namespace+"]-policy["+a.Policy.Name+"]-rule["+strconv.Itoa(i)+"]"] = p
		}
	}
	return out
}

// ofStrangers are the sources that a client without an identity can be one of; false when there are some and it is none of them.
func ofStrangers(sources []authz.Source) (out []authz.Source, possible bool) {
	for _, s := range sources {
		if len(s.Principals)+len(s.Namespaces)+len(s.ServiceAccounts)+len(s.TrustDomains) > 0 {
			continue
		}
		s.NotPrincipals, s.NotNamespaces, s.NotServiceAccounts, s.NotTrustDomains = nil, nil, nil, nil
		out = append(out, s)
	}
	return out, len(out) > 0 || len(sources) == 0
}
