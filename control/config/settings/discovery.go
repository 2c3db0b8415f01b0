package settings

import (
	"fmt"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/heddle-mesh/heddle/mesh"
)

// discovery reads what of a cluster is in the mesh, and who sees it.
func discovery(s *mesh.Settings, in *meshconfig.MeshConfig, problems *[]mesh.Problem) error {
	r := reader{}
	for i, x := range in.DiscoverySelectors {
		s.Discovery = append(s.Discovery, r.selector(x, fmt.Sprintf("discoverySelectors[%d]", i)))
	}
	r.reaches(s, in.ServiceEntryVisibility, problems)
	for i, x := range in.ServiceSettings {
		for j, name := range x.GetHosts() {
			h, err := mesh.ParseHost(name)
			if err != nil {
				r.wrong(fmt.Sprintf("serviceSettings[%d].hosts[%d]", i, j), "%q is not a host name", name)
			}
			s.Scopes = append(s.Scopes, mesh.HostScope{Host: h, ClusterLocal: x.GetSettings().GetClusterLocal()})
		}
	}
	return r.err
}

var reaches = map[meshconfig.ServiceEntryVisibility_Visibility]mesh.Reach{
	meshconfig.ServiceEntryVisibility_NAMESPACE: mesh.OwnNamespace, meshconfig.ServiceEntryVisibility_NONE: mesh.Nowhere,
}

func (r *reader) reaches(s *mesh.Settings, x *meshconfig.ServiceEntryVisibility, problems *[]mesh.Problem) {
	const field = "serviceEntryVisibility"
	if x == nil {
		return
	}
	out := &mesh.Reaches{Default: reaches[x.DefaultVisibility]}
	for i, p := range x.Policies {
		policy := mesh.ReachPolicy{Reach: reaches[p.GetVisibility()]}
		for j, rule := range p.GetMatchingRules() {
			at := fmt.Sprintf("%s.policies[%d].matchingRules[%d]", field, i, j)
			if rule.GetNamespaceSelector() == nil {
				r.wrong(at, "the rule asks for nothing; give namespaceSelector")
			}
			policy.Namespaces = append(policy.Namespaces, r.selector(rule.GetNamespaceSelector(), at+".namespaceSelector"))
		}
		out.Policies = append(out.Policies, policy)
	}
	if x.ApplyToSidecars {
		s.Reaches = out
		return
	}
	*problems = append(*problems, mesh.Problem{Field: field, Code: mesh.CodeNotEnforced,
		Message: "without applyToSidecars only proxies of nodes and waypoints obey it, and this mesh has none", Hint: "set applyToSidecars: true"})
}

var labelOps = map[string]mesh.LabelOp{"In": mesh.In, "NotIn": mesh.NotIn, "Exists": mesh.Exists, "DoesNotExist": mesh.DoesNotExist}

// selector reads a selector of Kubernetes.
func (r *reader) selector(x *meshconfig.LabelSelector, field string) (out mesh.Selector) {
	out.Labels = x.GetMatchLabels()
	for i, e := range x.GetMatchExpressions() {
		at := fmt.Sprintf("%s.matchExpressions[%d]", field, i)
		op, ok := labelOps[e.GetOperator()]
		switch needed := op == mesh.In || op == mesh.NotIn; {
		case !ok:
			r.wrong(at+".operator", "%q is not one of In, NotIn, Exists and DoesNotExist", e.GetOperator())
		case e.GetKey() == "":
			r.wrong(at+".key", "the label is missing")
		case needed != (len(e.GetValues()) > 0):
			r.wrong(at+".values", "In and NotIn need values, Exists and DoesNotExist have none")
		}
		out.Needs = append(out.Needs, mesh.Need{Key: e.GetKey(), Op: op, Values: e.GetValues()})
	}
	return out
}
