package report

import (
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/accesslog"
	"github.com/heddle-mesh/heddle/data/proxy/udp"
)

// Datagrams writes the access log lines of a session of datagrams that is over.
func Datagrams(worker int, e *udp.Ended) {
	r := accesslog.Record{
		Start: time.Now().Add(-e.Duration), Duration: e.Duration, RequestDuration: -1, ResponseDuration: -1, Cluster: e.Cluster,
		Received: e.Received, Sent: e.Sent, ReceivedWire: e.Received, SentWire: e.Sent,
		Local: accesslog.Address{AddrPort: e.Local}, Remote: accesslog.Address{AddrPort: e.Client}, DirectRemote: accesslog.Address{AddrPort: e.Client},
		UpstreamHost: accesslog.Address{AddrPort: e.Endpoint}, UpstreamRemote: accesslog.Address{AddrPort: e.Endpoint}, UpstreamLocal: accesslog.Address{AddrPort: e.Source},
	}
	Log(worker, e.Logs, &r)
}
