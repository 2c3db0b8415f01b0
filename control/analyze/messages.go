package analyze

// Level is how bad a finding is, in istioctl's words.
type Level string

// The levels, worst first.
const (
	Error   Level = "Error"
	Warning Level = "Warning"
	Info    Level = "Info"
)

// Worse says whether a level is as bad as another one, or worse.
func (l Level) Worse(than Level) bool {
	rank := map[Level]int{Error: 2, Warning: 1, Info: 0}
	return rank[l] >= rank[than]
}

// Message is one row of the table of what analysis can say.
type Message struct {
	Code  string // Istio's
	Name  string // Istio's
	Level Level
	Means string
	Fix   string // the next step, where the finding has none of its own
}

// Messages are all that analysis can say, by code. Each has testdata/CODE.txtar with objects that bring it about, and near ones that do not.
var Messages = []Message{
	{"IST0002", "Deprecated", Warning, "The field is deprecated.", "use the field that took its place"},
	{"IST0101", "ReferencedResourceNotFound", Error, "Something that the object names does not exist, or is not seen from its namespace.", "create it, correct the name, or export it"},
	{"IST0106", "SchemaValidationError", Error, "The object breaks the rules of its kind, so the mesh refuses it.", "correct the field"},
	{"IST0107", "MisplacedAnnotation", Warning, "The annotation means nothing on this kind of object.", "move it to an object of the kind"},
	{"IST0108", "UnknownAnnotation", Warning, "No kind of object has this annotation.", "correct its spelling, or remove it"},
	{"IST0109", "ConflictingMeshGatewayVirtualServiceHosts", Error, "Several VirtualServices claim one host for sidecars; the oldest counts.", "put the rules of a host into one VirtualService"},
	{"IST0110", "ConflictingSidecarWorkloadSelectors", Error, "Several Sidecars select the same workloads; the oldest counts.", "give each workload one Sidecar"},
	{"IST0111", "MultipleSidecarsWithoutWorkloadSelectors", Error, "Several Sidecars are for a whole namespace; the oldest counts.", "keep one of them"},
	{"IST0112", "VirtualServiceDestinationPortSelectorRequired", Error, "The destination has several ports, and the rule does not say which one.", "give destination.port.number"},
	{"IST0116", "DeploymentAssociatedToMultipleServices", Warning, "Services of the same pods use one port with different protocols.", "give the ports of these services one protocol, or different numbers"},
	{"IST0118", "PortNameIsNotUnderNamingConvention", Info, "The port does not say its protocol, so it is detected from the first bytes.", "name the port PROTOCOL or PROTOCOL-SUFFIX, or give appProtocol"},
	{"IST0122", "InvalidRegexp", Warning, "The regular expression is not one of RE2, or is too large.", "correct the expression"},
	{"IST0127", "NoMatchingWorkloadsFound", Warning, "The selector matches no workload.", "correct the labels"},
	{"IST0128", "NoServerCertificateVerificationDestinationLevel", Warning, "The rule asks for TLS and names no authority to verify the server with.", "give tls.caCertificates or tls.credentialName"},
	{"IST0129", "NoServerCertificateVerificationPortLevel", Warning, "The rule asks for TLS at a port and names no authority to verify the server with.", "give tls.caCertificates or tls.credentialName"},
	{"IST0130", "VirtualServiceUnreachableRule", Warning, "No request comes to the rule, because rules before it take all that it matches.", "move the rule up, or remove it"},
	{"IST0131", "VirtualServiceIneffectiveMatch", Info, "No request comes to the match, because a match before it takes them.", "remove the match"},
	{"IST0132", "VirtualServiceHostNotFoundInGateway", Warning, "No server of the gateway has a host of the VirtualService, so it has no effect there.", "add the host to a server of the gateway"},
	{"IST0133", "SchemaWarning", Warning, "The object is accepted, and a part of it has no effect.", "remove the part"},
	{"IST0134", "ServiceEntryAddressesRequired", Warning, "A TCP port without an address of its own is told apart from others by its number only.", "give addresses, or a protocol that names its host"},
	{"IST0135", "DeprecatedAnnotation", Info, "The annotation is deprecated.", "use what took its place"},
	{"IST0136", "AlphaAnnotation", Info, "The annotation belongs to an alpha feature.", "do not rely on it in production"},
	{"IST0137", "DeploymentConflictingPorts", Warning, "Services of the same pods use one target port under different numbers.", "give the target port one number in all services"},
	{"IST0138", "GatewayDuplicateCertificate", Warning, "Gateways of the same workloads share a certificate, so a browser may use one connection for hosts of both.", "serve the hosts of a certificate from one Gateway"},
	{"IST0140", "IngressRouteRulesNotAffected", Warning, "The rule sends requests of a gateway to a host whose subsets another VirtualService chooses for sidecars only.", "name the subset here, too"},
	{"IST0145", "ConflictingGateways", Error, "Gateways of the same workloads serve the same host at the same port.", "let one Gateway serve a host at a port"},
	{"IST0150", "ExternalNameServiceTypeInvalidPortName", Warning, "A TCP port of a Service of type ExternalName catches what was meant for others.", "give the port a protocol in its name, such as http or tls"},
	{"IST0151", "EnvoyFilterUsesRelativeOperation", Warning, "A patch is placed relative to something that another EnvoyFilter may change, and no priority says which comes first.", "give spec.priority, or INSERT_FIRST"},
	{"IST0152", "EnvoyFilterUsesReplaceOperationIncorrectly", Error, "REPLACE has no effect on this kind of resource.", "use MERGE, or REMOVE and ADD"},
	{"IST0153", "EnvoyFilterUsesAddOperationIncorrectly", Error, "ADD has no effect on this kind of resource.", "use MERGE"},
	{"IST0154", "EnvoyFilterUsesRemoveOperationIncorrectly", Error, "REMOVE has no effect on this kind of resource.", "use MERGE"},
	{"IST0155", "EnvoyFilterUsesRelativeOperationWithProxyVersion", Warning, "A patch for one version of the proxy is relative to others, and no priority says which comes first; an upgrade may change the outcome.", "give spec.priority"},
	{"IST0160", "MultipleTelemetriesWithoutWorkloadSelectors", Error, "Several Telemetries are for a whole namespace.", "keep one of them"},
	{"IST0161", "InvalidGatewayCredential", Error, "The Secret that the gateway names has no certificate and key.", "give it tls.crt and tls.key"},
	{"IST0162", "GatewayPortNotDefinedOnService", Warning, "No Service of the gateway's workloads leads to the port.", "add the port to the Service, as targetPort"},
	{"IST0165", "ReferencedInternalGateway", Warning, "The gateway is one that an implementation makes for itself out of a Gateway of the Gateway API.", "attach a route of the Gateway API to that Gateway"},
	{"IST0173", "DestinationRuleSubsetNotSelectPods", Error, "No workload of the host has the labels of the subset, so requests to it are answered with 503.", "correct the labels"},
	{"IST0174", "UnknownDestinationRuleHost", Warning, "No service has the host of the rule.", "correct the host, or remove the rule"},
	{"IST0177", "ConflictingServiceEntryProtocol", Warning, "ServiceEntries give a port of one host different protocols; the oldest counts.", "give the port one protocol"},
}

// find gives the row of a code; a code that is not in the table is a mistake of the caller, which every test shows.
func find(code string) Message {
	for _, m := range Messages {
		if m.Code == code {
			return m
		}
	}
	panic("analysis has no message " + code)
}
