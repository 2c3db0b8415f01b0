package tcp

import (
	"errors"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// Upstreams connects to clusters; package upstream implements it.
type Upstreams interface {
	// Connect chooses an endpoint of the cluster, with the labels that are asked for, for a connection of this downstream and dials it as t says. done is called once, later, with the
	// connection or with an error, as a rule a *Failure. cancel gives up; done is not called after it.
	Connect(w *loop.Worker, cluster *config.WeightedName, downstream *loop.Origin, t *config.TCP, done func(Upstream, error)) (cancel func())
}

// Upstream is a connection to an endpoint.
type Upstream struct {
	Conn     loop.Conn
	Cluster  *config.Cluster
	Endpoint *config.Endpoint
	// Release, if set, is called once when the connection is over, with what ended it.
	Release func(err error)
}

// Failure is why a cluster gave no connection.
type Failure struct {
	// Flag is Envoy's response flag: NC, UH, UO, or UF for a failed connect, the only one that is tried again.
	Flag string
	// Reason is the transport failure reason.
	Reason   string
	Cluster  *config.Cluster
	Endpoint *config.Endpoint
	Err      error
}

// Error implements error.
func (f *Failure) Error() string {
	if f.Err == nil {
		return f.Flag
	}
	return f.Flag + ": " + f.Err.Error()
}

// Unwrap implements errors.Unwrap.
func (f *Failure) Unwrap() error { return f.Err }

// ConnectFailed is the flag of a failed connect.
const ConnectFailed = "UF"

func failure(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return &Failure{Flag: ConnectFailed, Err: err}
}

// Record is what a connection tells; it is complete when Observer.Closed is called.
type Record struct {
	// Listener is the definition by which the connection is there; a Review sets a later one.
	Listener   *config.Listener
	Config     *config.TCP
	Downstream *loop.Origin
	// ClusterName was chosen; Upstream has its parts as far as they are known (Conn is nil when no attempt succeeded).
	ClusterName string
	Upstream    Upstream
	// Received and Sent are bytes from and to the downstream.
	Received, Sent uint64
	Attempts       int
	// Flags are Envoy's response flags, comma separated; "" for none. Failure is the transport failure reason.
	Flags, Failure string
	// Duration is from the accept to the end.
	Duration time.Duration
}

// Observer is told of connections, for access logs and metrics, on the connection's worker.
type Observer interface {
	// Opened is called when the upstream is connected.
	Opened(w *loop.Worker, r *Record)
	// Moved is called now and then, and before Closed, with the bytes since the last call.
	Moved(w *loop.Worker, r *Record, received, sent uint64)
	// Closed is called once, last, also when no upstream was reached.
	Closed(w *loop.Worker, r *Record)
}
