package graph

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// quantiles are asked for in this order: Traffic.P50, P95, P99.
var quantiles = [3]float64{.5, .95, .99}

// Labels that say who called whom.
const (
	sourceLabels = "source_workload, source_workload_namespace, source_cluster, source_canonical_service, source_canonical_revision"
	targetLabels = "destination_workload, destination_workload_namespace, destination_cluster, destination_canonical_service, destination_canonical_revision"
	hostLabels   = "destination_service, destination_service_name, destination_service_namespace"
)

// Queries are the expressions whose answers Build reads, by the name of the field of Samples.
type Queries struct {
	Requests, RequestBytes, ResponseBytes string
	Opened, Sent, Received                string
	Edges, Nodes                          [3]string // durations of requests: the median, the 95th and the 99th of a hundred
}

// NewQueries are the expressions for one type of graph. Of namespaces, if there are any, one is at an end of whatever is counted.
func NewQueries(t Type, window time.Duration, namespaces []string) Queries {
	r := rates{window: strconv.FormatInt(max(1, int64(window/time.Second)), 10) + "s", namespaces: pattern(namespaces)}
	all := "reporter, " + sourceLabels + ", " + targetLabels + ", " + hostLabels
	tcp := all + ", response_flags, connection_security_policy"
	q := Queries{
		Requests:      r.sum(all+", request_protocol, response_code, grpc_response_status, response_flags, connection_security_policy", "istio_requests_total", ""),
		RequestBytes:  r.sum(all+", request_protocol", "istio_request_bytes_sum", ""),
		ResponseBytes: r.sum(all+", request_protocol", "istio_response_bytes_sum", ""),
		Opened:        r.sum(tcp, "istio_tcp_connections_opened_total", ""),
		Sent:          r.sum(tcp, "istio_tcp_sent_bytes_total", ""),
		Received:      r.sum(tcp, "istio_tcp_received_bytes_total", ""),
	}
	source, target := t.labels()
	for i, p := range quantiles {
		q.Edges[i] = r.quantile(p, "le, reporter, request_protocol, "+source, target)
		q.Nodes[i] = r.quantile(p, "le, reporter", target)
	}
	return q
}

// labels are what makes a node of this type, so that a quantile is that of the node and not of a part of it.
func (t Type) labels() (source, target string) {
	var labels string
	switch t {
	case Workload:
		labels = "%[1]s_workload, %[1]s_workload_namespace, %[1]s_cluster"
	case VersionedApp:
		labels = "%[1]s_canonical_service, %[1]s_canonical_revision, %[1]s_workload_namespace, %[1]s_cluster"
	default:
		labels = "%[1]s_canonical_service, %[1]s_workload_namespace, %[1]s_cluster"
	}
	source, target = fmt.Sprintf(labels, "source"), fmt.Sprintf(labels, "destination")
	if t == Service {
		target = hostLabels
	}
	return source, target
}

// rates writes rates per second over a window.
type rates struct {
	window     string
	namespaces string // a regular expression; "" is any
}

// sum is the rate of a counter by labels; match is one more matcher, or "".
func (r rates) sum(by, metric, match string) string {
	one := func(matchers ...string) string {
		var some []string
		for _, m := range matchers {
			if m != "" {
				some = append(some, m)
			}
		}
		braces := ""
		if len(some) > 0 {
			braces = "{" + strings.Join(some, ", ") + "}"
		}
		return "rate(" + metric + braces + "[" + r.window + "])"
	}
	inner := one(match)
	if r.namespaces != "" { // of a series that is on several sides "or" keeps one
		var sides []string
		for _, end := range []string{"source_workload_namespace", "destination_service_namespace", "destination_workload_namespace"} {
			sides = append(sides, one(match, end+`=~"`+r.namespaces+`"`))
		}
		inner = strings.Join(sides, " or ")
	}
	return "sum by (" + by + ") (" + inner + ")"
}

// quantile is that of durations: by the workload where one answered, and else by the host that was asked for.
func (r rates) quantile(p float64, by, target string) string {
	const metric = "istio_request_duration_milliseconds_bucket"
	inner := r.sum(by+", "+target, metric, "")
	if !strings.Contains(target, hostLabels) {
		inner = r.sum(by+", "+target, metric, `destination_workload!="unknown"`) + " or " + r.sum(by+", "+hostLabels, metric, `destination_workload="unknown"`)
	}
	return fmt.Sprintf("histogram_quantile(%g, %s)", p, inner)
}

// pattern is a regular expression for any of some names, as it stands in a string of PromQL.
func pattern(names []string) string {
	var quoted []string
	for _, n := range names {
		var b strings.Builder
		for _, r := range n {
			if strings.ContainsRune(`\.+*?()|[]{}^$`, r) {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		}
		q := strconv.Quote(b.String())
		quoted = append(quoted, q[1:len(q)-1])
	}
	return strings.Join(quoted, "|")
}
