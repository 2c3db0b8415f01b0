package mesh

import (
	"cmp"
	"strings"
)

// CompareServiceID orders by host, then by namespace, so that the services of one host are neighbours.
func CompareServiceID(a, b ServiceID) int {
	if c := CompareText(a.Host, b.Host); c != 0 { // mostly: looking services up is much of what compilers do
		return c
	}
	return CompareText(a.Namespace, b.Namespace)
}

// CompareText is cmp.Compare of texts, by one comparison of their bytes.
func CompareText[T ~string](a, b T) int { return strings.Compare(string(a), string(b)) }

// CompareWorkloadID orders by namespace, name, kind, cluster.
func CompareWorkloadID(a, b WorkloadID) int {
	return cmp.Or(strings.Compare(string(a.Namespace), string(b.Namespace)), strings.Compare(a.Name, b.Name),
		strings.Compare(a.Kind, b.Kind), strings.Compare(string(a.Cluster), string(b.Cluster)))
}

// CompareRef orders by kind, namespace, name, group.
func CompareRef(a, b Ref) int {
	return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(string(a.Namespace), string(b.Namespace)),
		strings.Compare(a.Name, b.Name), strings.Compare(a.Group, b.Group))
}

// CompareGatewayID orders by dialect, namespace, name, a Gateway before a ListenerSet.
func CompareGatewayID(a, b GatewayID) int {
	return cmp.Or(cmp.Compare(a.Dialect, b.Dialect), strings.Compare(string(a.Namespace), string(b.Namespace)), strings.Compare(a.Name, b.Name), compareBool(a.Set, b.Set))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// CompareSecretID orders by namespace, name.
func CompareSecretID(a, b SecretID) int {
	return cmp.Or(strings.Compare(string(a.Namespace), string(b.Namespace)), strings.Compare(a.Name, b.Name))
}

// CompareRoutes puts the oldest first. Of one age, routes of the Gateway API go first, by namespace and name, as that API wants it; then VirtualServices, by name and namespace, as
// Istio has it.
func CompareRoutes(a, b *Route) int {
	virtual := func(r *Route) bool { return r.Origin.Kind == "VirtualService" }
	if c := cmp.Or(a.Created.Compare(b.Created), compareBool(virtual(a), virtual(b))); c != 0 {
		return c
	}
	name, namespace := strings.Compare(a.Origin.Name, b.Origin.Name), strings.Compare(string(a.Origin.Namespace), string(b.Origin.Namespace))
	if virtual(a) {
		return cmp.Or(name, namespace)
	}
	return cmp.Or(namespace, name, CompareRef(a.Origin, b.Origin))
}

// CompareTraffic puts the oldest first, then orders by name and namespace, as Istio does.
func CompareTraffic(a, b *Traffic) int {
	return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.Origin.Name, b.Origin.Name), strings.Compare(string(a.Origin.Namespace), string(b.Origin.Namespace)))
}

// CompareSidecars puts those with a selector first, then the oldest.
func CompareSidecars(a, b *SidecarScope) int {
	whole := func(s *SidecarScope) int { return min(1, len(s.Selector)) }
	return cmp.Or(cmp.Compare(whole(b), whole(a)), a.Created.Compare(b.Created), CompareRef(a.Origin, b.Origin))
}

// CompareFilters orders the EnvoyFilters of a namespace as they are applied: by priority, age and name.
func CompareFilters(a, b *EnvoyFilter) int {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), a.Created.Compare(b.Created), CompareRef(a.Origin, b.Origin))
}

// CompareTelemetry puts the oldest first.
func CompareTelemetry(a, b *Telemetry) int {
	return cmp.Or(a.Created.Compare(b.Created), CompareRef(a.Origin, b.Origin))
}

// NewSnapshot is an empty snapshot whose tables can be changed, with the given settings.
func NewSnapshot(settings *Settings) *Snapshot {
	return &Snapshot{
		Settings:   settings,
		Services:   NewTable[ServiceID, *Service](CompareServiceID),
		Hosts:      NewTable[Host, []ServiceID](CompareText[Host]),
		Endpoints:  NewTable[ServiceID, *EndpointSet](CompareServiceID),
		Workloads:  NewTable[WorkloadID, *Workload](CompareWorkloadID),
		Routes:     NewTable[Ref, *Route](CompareRef),
		MeshRoutes: NewTable[Host, []*Route](CompareText[Host]),
		Called:     NewTable[Host, []Call](CompareText[Host]),
		GateRoutes: NewTable[GatewayID, []*Route](CompareGatewayID),
		Traffic:    NewTable[Host, []*Traffic](CompareText[Host]),
		Gateways:   NewTable[GatewayID, *Gateway](CompareGatewayID),
		Authn:      NewTable[Namespace, []*PeerAuthn](CompareText[Namespace]),
		Authz:      NewTable[Namespace, []*Authorization](CompareText[Namespace]),
		Denials:    NewTable[Namespace, []*Denial](CompareText[Namespace]),
		Secrets:    NewTable[SecretID, *Secret](CompareSecretID),
		BackendTLS: NewTable[ServiceID, []*BackendTLS](CompareServiceID),
		Sidecars:   NewTable[Namespace, []*SidecarScope](CompareText[Namespace]),
		Filters:    NewTable[Namespace, []*EnvoyFilter](CompareText[Namespace]),
		Telemetry:  NewTable[Namespace, []*Telemetry](CompareText[Namespace]),
	}
}
