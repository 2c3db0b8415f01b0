package ledger

// same lists rows that say what counts where nothing is said, or nothing that a mesh acts on.
var same = []struct{ subject, row, why string }{
	{"VirtualService", "http[].corsPolicy.unmatchedPreflights=FORWARD", "the default"},
	{MeshConfig, "serviceEntryVisibility.defaultVisibility=PUBLIC", "the default"},
	{MeshConfig, "serviceEntryVisibility.policies[].visibility=PUBLIC", "the default"},
	{"VirtualService", "http[].fault.delay.exponentialDelay", "defined and without meaning in Istio, too: the fault filter has no such delay"},
	{"VirtualService", "http[].fault.abort.http2Error", "defined and without meaning in Istio, too: the fault filter has no such abort"},
	{Annotations, "galley.istio.io/analyze-suppress", "asks something of the analyzer alone"},
	{Annotations, "gateway.istio.io/controller-version", "written by controllers, read by nobody else"},
	{Annotations, "istio.io/workloadController", "written by the control plane that registered a workload"},
	{Annotations, "istio.io/connectedAt", "written by the control plane that registered a workload"},
	{Annotations, "istio.io/disconnectedAt", "written by the control plane that registered a workload"},
	{Annotations, "proxy.istio.io/overrides", "written by injection"},
	{Annotations, "istio.io/rev", "written by injection; the label of that name asks for it"},
	{Annotations, "sidecar.istio.io/status", "written by injection"},
	{Labels, "gateway.istio.io/managed", "written on what is made for a gateway"},
	{Labels, "topology.istio.io/cluster", "written by injection; the cluster of a pod is that whose API server knows it"},
	{Labels, "gateway.networking.k8s.io/gateway-name", "what the workloads of a gateway are known by: their proxies announce it (fixture gateway-api)"},
	{Labels, "gateway.networking.k8s.io/gateway-class-name", "written on what is made for a gateway"},
	{"GatewayClass", "description", "for people; the API server keeps it"},
	{Labels, "operator.istio.io/component", "written by installers"},
	{Labels, "operator.istio.io/managed", "written by installers"},
	{Labels, "operator.istio.io/version", "written by installers"},
	{Labels, "istio.io/tag", "written on the webhooks of tags"},
}

// Same says why nothing can fail without a row: it says what counts anyway.
func (r Row) Same() string {
	for _, s := range same {
		if s.subject == r.Subject && r.String() == s.row {
			return s.why
		}
	}
	return ""
}
