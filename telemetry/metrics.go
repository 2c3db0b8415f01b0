package telemetry

// Unit is what a metric's value counts.
type Unit string

// The units.
const (
	One          Unit = "1"
	Milliseconds Unit = "ms"
	Seconds      Unit = "s"
	Bytes        Unit = "By"
)

// Shape is the form of a metric.
type Shape string

// The shapes.
const (
	Counter   Shape = "counter"
	Gauge     Shape = "gauge"
	Histogram Shape = "histogram"
)

// Metric is one metric of the data plane.
type Metric struct {
	Name  string
	Shape Shape
	Unit  Unit
	Help  string
}

// Istio's standard metrics (istio.io, "Istio Standard Metrics"), one line each.
var (
	Requests            = Metric{"istio_requests_total", Counter, One, "Requests that were handled."}
	RequestDuration     = Metric{"istio_request_duration_milliseconds", Histogram, Milliseconds, "Time from the first byte of a request to the last byte of its response."}
	RequestBytes        = Metric{"istio_request_bytes", Histogram, Bytes, "Size of request bodies and headers."}
	ResponseBytes       = Metric{"istio_response_bytes", Histogram, Bytes, "Size of response bodies and headers."}
	RequestMessages     = Metric{"istio_request_messages_total", Counter, One, "gRPC messages that clients sent."}
	ResponseMessages    = Metric{"istio_response_messages_total", Counter, One, "gRPC messages that servers sent."}
	TCPSentBytes        = Metric{"istio_tcp_sent_bytes_total", Counter, Bytes, "Bytes sent to clients in responses of TCP connections."}
	TCPReceivedBytes    = Metric{"istio_tcp_received_bytes_total", Counter, Bytes, "Bytes received from clients in requests of TCP connections."}
	TCPConnectionOpened = Metric{"istio_tcp_connections_opened_total", Counter, One, "TCP connections that were opened."}
	TCPConnectionClosed = Metric{"istio_tcp_connections_closed_total", Counter, One, "TCP connections that were closed."}
	Build               = Metric{"istio_build", Gauge, One, "Always 1; the labels name the component and its version."}
)

// All lists the standard metrics.
func All() []Metric {
	return []Metric{Requests, RequestDuration, RequestBytes, ResponseBytes, RequestMessages, ResponseMessages, TCPSentBytes, TCPReceivedBytes, TCPConnectionOpened, TCPConnectionClosed, Build}
}

// Standard lists those of TCP connections, or those of requests.
func Standard(tcp bool) []Metric {
	if tcp {
		return []Metric{TCPSentBytes, TCPReceivedBytes, TCPConnectionOpened, TCPConnectionClosed}
	}
	return []Metric{Requests, RequestDuration, RequestBytes, ResponseBytes, RequestMessages, ResponseMessages}
}

// Buckets are the upper bounds of every histogram: Envoy's defaults, which Istio's dashboards are drawn for.
func Buckets() []float64 {
	return []float64{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000}
}
