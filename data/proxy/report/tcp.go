package report

import (
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/accesslog"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/tcp"
)

// Connections observes the TCP proxies of listeners of one direction. It implements tcp.Observer.
type Connections struct {
	Reporter  *Reporter
	Direction config.Direction
}

// facts of a connection as far as they are known.
func (c *Connections) facts(r *tcp.Record) Facts {
	f := Facts{Direction: c.Direction, TCP: true, Flags: r.Flags, Cluster: r.ClusterName}
	if u := r.Upstream.Cluster; u != nil {
		f.Service = u.Telemetry
	}
	if e := r.Upstream.Endpoint; e != nil {
		f.Endpoint = e.Workload
	}
	if c.Direction == config.Inbound {
		f.Principals(r.Downstream, false)
	} else if r.Upstream.Conn != nil {
		f.Principals(r.Upstream.Conn.Origin(), true)
	}
	if m := r.Config.Metrics; m != nil && m.Plan != nil {
		if f.Plan = m.Plan; len(f.Plan.Expressions) > 0 {
			a := c.record(r, time.Time{})
			f.Values = values(m, &a)
		}
	}
	return f
}

// Principals takes the identities that a connection proved: dialled by us (own is the source), or accepted.
func (f *Facts) Principals(o *loop.Origin, dialled bool) {
	if o == nil || o.TLS == nil {
		return
	}
	own, peer := "", o.Identity()
	if len(o.TLS.LocalURIs) > 0 {
		own = o.TLS.LocalURIs[0]
	}
	f.SourceID, f.DestinationID = peer, own
	if dialled {
		f.SourceID, f.DestinationID = own, peer
		return
	}
	f.Mutual = o.TLS.Peer != nil
}

// Opened implements tcp.Observer.
func (c *Connections) Opened(w *loop.Worker, r *tcp.Record) {
	if r.Config.Telemetry {
		f := c.facts(r)
		f.Flags = ""
		c.Reporter.Opened(w.Index(), &f)
	}
}

// Moved implements tcp.Observer.
func (c *Connections) Moved(w *loop.Worker, r *tcp.Record, received, sent uint64) {
	if r.Config.Telemetry {
		f := c.facts(r)
		f.Flags = ""
		c.Reporter.Moved(w.Index(), &f, received, sent)
	}
}

// Closed implements tcp.Observer.
func (c *Connections) Closed(w *loop.Worker, r *tcp.Record) {
	if r.Config.Telemetry {
		f := c.facts(r)
		c.Reporter.Closed(w.Index(), &f)
	}
	if len(r.Config.AccessLogs) == 0 {
		return
	}
	a := c.record(r, w.Wall())
	Log(w.Index(), r.Config.AccessLogs, &a)
}

// Log writes a record into access logs.
func Log(worker int, logs []config.AccessLog, r *accesslog.Record) {
	for i := range logs {
		if l, ok := logs[i].Log.(*accesslog.Log); ok && l.Sink != nil {
			l.Write(worker, r)
		}
	}
}

// Address is an address in the log's form.
func Address(a loop.Address) accesslog.Address {
	return accesslog.Address{AddrPort: a.AddrPort, Path: a.Path}
}

// Downstream fills in what a record has of the accepted connection.
func Downstream(a *accesslog.Record, o *loop.Origin) {
	a.Local, a.Remote, a.DirectRemote, a.ServerName = Address(o.Local), Address(o.Remote), Address(o.DirectRemote()), o.ServerName
	if o.Restored {
		a.Local = Address(o.Original) // Envoy shows the restored address as the local one
	}
	if o.TLS == nil {
		return
	}
	if len(o.TLS.LocalURIs) > 0 {
		a.LocalURI = o.TLS.LocalURIs[0]
	}
	a.TLSVersion, a.TLSCipher = config.VersionName(o.TLS.State.Version), config.SuiteName(o.TLS.State.CipherSuite)
	if p := o.TLS.Peer; p != nil {
		a.PeerURI, a.PeerSubject = o.Identity(), p.Subject
	}
}

func (c *Connections) record(r *tcp.Record, now time.Time) accesslog.Record {
	a := accesslog.Record{
		Inbound: c.Direction == config.Inbound,
		Start:   now.Add(-r.Duration), Flags: r.Flags, UpstreamFailure: r.Failure, Received: r.Received, Sent: r.Sent, ReceivedWire: r.Received, SentWire: r.Sent,
		Duration: r.Duration, RequestDuration: -1, ResponseDuration: -1, Attempts: r.Attempts, Cluster: r.ClusterName,
	}
	Downstream(&a, r.Downstream)
	if up := r.Upstream.Conn; up != nil {
		o := up.Origin()
		a.UpstreamHost, a.UpstreamRemote, a.UpstreamLocal, a.UpstreamPeerURI = Address(o.Remote), Address(o.Remote), Address(o.Local), o.Identity()
		if o.TLS != nil {
			a.UpstreamTLSVersion = config.VersionName(o.TLS.State.Version)
		}
	} else if e := r.Upstream.Endpoint; e != nil {
		a.UpstreamHost = accesslog.Address{AddrPort: e.Address, Path: e.Path}
	}
	return a
}
