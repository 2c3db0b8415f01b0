package mesh

// Revision counts snapshots; it grows by one with each.
type Revision uint64

// Snapshot is what the mesh means at one moment. It is immutable and published whole behind one atomic.Pointer.
type Snapshot struct {
	Revision   Revision
	Settings   *Settings
	Services   Table[ServiceID, *Service]
	Hosts      Table[Host, []ServiceID] // index: which namespaces define the host, oldest first
	Endpoints  Table[ServiceID, *EndpointSet]
	Workloads  Table[WorkloadID, *Workload]
	Routes     Table[Ref, *Route]
	MeshRoutes Table[Host, []*Route]      // index: routes for sidecars by host, oldest first
	Called     Table[Host, []Call]        // index: the calls to a Service that routes of the Gateway API for requests are about
	GateRoutes Table[GatewayID, []*Route] // index: routes at a gateway, oldest first
	Traffic    Table[Host, []*Traffic]    // by host, oldest first
	Gateways   Table[GatewayID, *Gateway]
	Authn      Table[Namespace, []*PeerAuthn]     // by namespace of the object, oldest first
	Authz      Table[Namespace, []*Authorization] // by namespace of the object, ordered by name
	Denials    Table[Namespace, []*Denial]        // by namespace of the scope, "" is the whole mesh
	Secrets    Table[SecretID, *Secret]
	BackendTLS Table[ServiceID, []*BackendTLS]   // for each of its ports at most one
	Sidecars   Table[Namespace, []*SidecarScope] // by namespace of the object: those with a selector first, then the oldest first
	Filters    Table[Namespace, []*EnvoyFilter]  // by namespace of the object, in the order in which they are applied
	Telemetry  Table[Namespace, []*Telemetry]    // by namespace of the object, oldest first
}
