package report

import (
	"bytes"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
)

// Requests observes the exchanges of all HTTP connection managers. It implements stream.Reporter.
type Requests struct{ Reporter *Reporter }

// Finished implements stream.Reporter.
func (r *Requests) Finished(x *stream.Exchange) {
	c := counter(x.Manager().Config)
	if c == nil {
		return
	}
	f := r.facts(x, c)
	received, sent := x.Bytes()
	r.Reporter.Request(x.Worker().Loop.Index(), &f, x.Duration(), received, sent)
	r.messages(x, &f)
}

// Talking implements stream.Reporter.
func (r *Requests) Talking(x *stream.Exchange) {
	if c := counter(x.Manager().Config); c != nil {
		f := r.facts(x, c)
		r.messages(x, &f)
	}
}

func (r *Requests) messages(x *stream.Exchange, f *Facts) {
	if request, response := x.Messages(); request|response > 0 {
		f.Messages, f.Code, f.Status, f.Flags = true, 0, "", "" // what is known only at the end
		r.Reporter.Messages(x.Worker().Loop.Index(), f, request, response)
	}
}

func (r *Requests) facts(x *stream.Exchange, c *config.Filter) Facts {
	m := x.Manager()
	f := Facts{Direction: m.Direction, Code: x.Response.Status, Flags: x.Flags().String()}
	name, cluster := x.Cluster()
	f.Cluster = name
	if cluster != nil {
		f.Service = cluster.Config().Telemetry
	}
	if h := x.Host(); h != nil {
		f.Endpoint = h.Config().Workload
	}
	if m.Direction == config.Inbound {
		f.Principals(x.Origin(), false)
	} else {
		f.Principals(x.UpstreamOrigin(), true)
	}
	if metadata, _ := x.Peer(); metadata != "" {
		if known := r.Reporter.workers[x.Worker().Loop.Index()].peers[metadata]; known != nil {
			f.Peer = known.workload
		}
	}
	f.grpc(x)
	if c.Metrics != nil && c.Metrics.Plan != nil {
		if f.Plan = c.Metrics.Plan; len(f.Plan.Expressions) > 0 {
			f.Values = values(c.Metrics, x.Record())
		}
	}
	return f
}

// counter is the filter by which a connection manager has Istio's metrics, or nil.
func counter(c *config.HTTP) *config.Filter {
	for i := range c.Filters {
		if c.Filters[i].Telemetry {
			return &c.Filters[i]
		}
	}
	return nil
}

// statuses are the texts of the 17 gRPC statuses, so that a label is not made per request.
var statuses = [17]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"}

// grpc finds the status in the trailers, or in the head of a response that is nothing else.
func (f *Facts) grpc(x *stream.Exchange) {
	if t, ok := x.Request.Value(codec.ContentType); !ok || !bytes.HasPrefix(t, []byte("application/grpc")) {
		return
	}
	f.GRPC = true
	if n := x.GRPCStatus(); n >= 0 && n < len(statuses) {
		f.Status = statuses[n]
	}
}

var _ stream.Reporter = (*Requests)(nil)
