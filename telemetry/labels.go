// Package telemetry is the one place where the name, the unit and the labels of every metric are written down.
//
// In: nothing. Out: constants and tables that the data plane writes by, and that observers, dashboards and the analyzers read by. Everything is immutable.
package telemetry

// Label names one label of Istio's standard metrics.
type Label uint8

// The 25 labels of istio_requests_total, in the order in which Istio's proxies print them. TCP metrics leave out ResponseCode and GRPCResponseStatus.
const (
	Reporter Label = iota
	SourceWorkload
	SourceCanonicalService
	SourceCanonicalRevision
	SourceWorkloadNamespace
	SourcePrincipal
	SourceApp
	SourceVersion
	SourceCluster
	DestinationWorkload
	DestinationWorkloadNamespace
	DestinationPrincipal
	DestinationApp
	DestinationVersion
	DestinationService
	DestinationCanonicalService
	DestinationCanonicalRevision
	DestinationServiceName
	DestinationServiceNamespace
	DestinationCluster
	RequestProtocol
	ResponseCode
	GRPCResponseStatus
	ResponseFlags
	ConnectionSecurityPolicy

	LabelCount = iota
)

var labelNames = [LabelCount]string{
	"reporter",
	"source_workload", "source_canonical_service", "source_canonical_revision", "source_workload_namespace", "source_principal", "source_app", "source_version", "source_cluster",
	"destination_workload", "destination_workload_namespace", "destination_principal", "destination_app", "destination_version", "destination_service",
	"destination_canonical_service", "destination_canonical_revision", "destination_service_name", "destination_service_namespace", "destination_cluster",
	"request_protocol", "response_code", "grpc_response_status", "response_flags", "connection_security_policy",
}

// String is the label's name in Prometheus.
func (l Label) String() string { return labelNames[l] }

// Values of labels.
const (
	Unknown             = "unknown"     // what is not known, in every label
	ReporterSource      = "source"      // the client's proxy measured
	ReporterDestination = "destination" // the server's proxy measured
	MutualTLS           = "mutual_tls"  // connection_security_policy at the destination
	Plaintext           = "none"        // connection_security_policy at the destination
	NoFlags             = "-"           // response_flags without a flag
	Overflow            = "overflow"    // of a series for all combinations of labels beyond those that a proxy tells apart
)

// HTTPLabels are the labels of the HTTP metrics.
func HTTPLabels() []Label {
	all := make([]Label, LabelCount)
	for i := range all {
		all[i] = Label(i)
	}
	return all
}

// MessageLabels are the labels of the metrics of gRPC messages: those that are known while a stream goes on.
func MessageLabels() (labels []Label) {
	for _, l := range TCPLabels() {
		if l != ResponseFlags {
			labels = append(labels, l)
		}
	}
	return labels
}

// TCPLabels are the labels of the TCP metrics.
func TCPLabels() (labels []Label) {
	for _, l := range HTTPLabels() {
		if l != ResponseCode && l != GRPCResponseStatus {
			labels = append(labels, l)
		}
	}
	return labels
}
