package stream

import (
	"net/netip"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/accesslog"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// factsOf is what a peer told of itself, for telemetry.
type factsOf struct{ peer, id string }

// account closes the books of an exchange: counters, telemetry, access log.
func (x *Exchange) account() {
	sh, s := x.w.Shard, &x.m.stats
	sh.Dec(s.RequestsActive)
	sh.Inc(s.Completed)
	if class := x.Response.Status / 100; class > 0 && class < len(s.ByClass) {
		sh.Inc(s.ByClass[class])
	}
	if x.origin == nil {
		return
	}
	sh.Observe(s.Time, uint64(millis(x.Duration())))
	if x.route != nil && x.route.StatPrefix != "" && x.route.Forward != nil {
		x.countRoute()
	}
	x.endTracing()
	if x.m.reporter != nil {
		x.m.reporter.Finished(x)
	}
	if len(x.m.logs) > 0 {
		r := x.Record()
		for _, l := range x.m.logs {
			l.Write(x.w.Loop.Index(), r)
		}
	}
}

func logged(a loop.Address) accesslog.Address {
	return accesslog.Address{AddrPort: a.AddrPort, Path: a.Path}
}

// Record describes the exchange as far as it has come. The record is the worker's, good until the next call.
func (x *Exchange) Record() *accesslog.Record {
	r := &x.w.record
	*r = accesslog.Record{
		Inbound: x.m.Direction == config.Inbound,
		Start:   x.arrived, Protocol: x.down.protocol(), Request: &x.Request, Code: x.Response.Status, Flags: x.flags.String(), Details: x.details, UpstreamFailure: x.failure,
		Received: x.received, Sent: x.sent, ReceivedWire: x.received + uint64(x.requestBytes), SentWire: x.sent + uint64(x.Response.Bytes()),
		Duration: x.Duration(), RequestDuration: -1, ResponseDuration: -1, Attempts: x.attempts,
		Local: logged(x.origin.Original), Remote: logged(x.Client.Address), DirectRemote: logged(x.origin.DirectRemote()), ServerName: x.origin.ServerName,
		PeerURI: x.origin.Identity(), ConnectionID: x.down.connection(),
	}
	if !x.origin.Original.AddrPort.IsValid() {
		r.Local = logged(x.origin.Local)
	}
	if x.cluster != nil {
		r.Cluster = x.name
	}
	if x.Response.Status != 0 {
		r.Response = &x.Response
	}
	r.GRPC = x.GRPCStatus() + 1
	if x.trailers != nil {
		r.Trailers = (*trailing)(x.trailers)
	}
	if x.trace.active {
		r.TraceHigh, r.TraceLow = x.trace.context.High, x.trace.context.Low
	}
	if x.requestDone {
		r.RequestDuration = x.complete.Sub(x.started)
	}
	if x.answered != 0 {
		r.ResponseDuration = x.answered.Sub(x.started)
	}
	if x.host != nil {
		r.UpstreamHost = logged(x.host.Address)
	}
	if x.tryBegan {
		r.UpstreamRemote, r.UpstreamLocal, r.UpstreamPeerURI = logged(x.tryOrigin.Remote), logged(x.upLocal), x.peerURI
		if t := x.tryOrigin.TLS; t != nil {
			r.UpstreamTLSVersion = config.VersionName(t.State.Version)
		}
	}
	if x.route != nil {
		r.RouteName = x.route.Name
	}
	if x.vhost != nil {
		r.VirtualHost = x.vhost.Name
	}
	if t := x.origin.TLS; t != nil {
		if len(t.LocalURIs) > 0 {
			r.LocalURI = t.LocalURIs[0]
		}
		if t.Peer != nil {
			r.PeerSubject = t.Peer.Subject
		}
		r.TLSVersion, r.TLSCipher = config.VersionName(t.State.Version), config.SuiteName(t.State.CipherSuite)
	}
	return r
}

// Trail is why an exchange went as it did.
type Trail struct {
	Table, VirtualHost, Route, Origin string // names; Origin is the user's object
	Policy                            string // that decided on access
	Cluster                           string
	Endpoint                          string
	Attempts                          int
	Flags, Details                    string
}

// Trail tells the decisions so far.
func (x *Exchange) Trail() Trail {
	t := Trail{Policy: x.policy, Cluster: x.name, Attempts: x.attempts, Flags: x.flags.String(), Details: x.details}
	if x.table != nil {
		t.Table = x.table.Config.Name
	}
	if x.vhost != nil {
		t.VirtualHost = x.vhost.Name
	}
	if x.route != nil {
		t.Route, t.Origin = x.route.Name, x.route.Origin
	}
	if x.host != nil {
		t.Endpoint = x.host.Address.String()
	}
	return t
}

// The following are for filters and reporters.

// Worker is the owner.
func (x *Exchange) Worker() *Worker { return x.w }

// Manager is the connection manager in force.
func (x *Exchange) Manager() *Manager { return x.m }

// Origin is what is known of the client's connection.
func (x *Exchange) Origin() *loop.Origin { return x.origin }

// UpstreamOrigin is what is known of the upstream's connection, nil before there is one.
func (x *Exchange) UpstreamOrigin() *loop.Origin { return x.tryOrigin }

// Route is the chosen route and its virtual host, nil when none matches.
func (x *Exchange) Route() (*config.VirtualHost, *config.Route) { return x.vhost, x.route }

// Weighted is the chosen one of weighted clusters, nil for none.
func (x *Exchange) Weighted() *config.WeightedCluster { return x.weighted }

// Cluster is the chosen cluster's name and the cluster, which is nil when there is none of that name.
func (x *Exchange) Cluster() (string, *upstream.Cluster) { return x.name, x.cluster }

// Host is the endpoint of the latest try, nil before the first.
func (x *Exchange) Host() *upstream.Host { return x.host }

// Random is a random number that stays the same for the exchange.
func (x *Exchange) Random() uint64 { return x.random }

// Waited is how long the upstream has had the whole request; false when it has not, or there is none.
func (x *Exchange) Waited() (time.Duration, bool) {
	if !x.tryBegan || !x.requestDone || x.local {
		return 0, false
	}
	return x.w.Loop.Now().Sub(x.complete), true
}

// Local says that the response is the proxy's own.
func (x *Exchange) Local() bool { return x.local }

// Bytes are the sizes of the bodies and heads from and to the client.
func (x *Exchange) Bytes() (received, sent uint64) {
	return x.received + uint64(x.requestBytes), x.sent + uint64(x.Response.Bytes())
}

// Duration is how long the exchange has lasted.
func (x *Exchange) Duration() time.Duration { return x.w.Loop.Now().Sub(x.started) }

// RemoteIP is the client's address behind trusted proxies; invalid for a unix socket.
func (x *Exchange) RemoteIP() netip.Addr { return x.Client.Address.Addr() }
