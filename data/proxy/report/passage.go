package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
	"github.com/heddle-mesh/heddle/telemetry/tap"
)

// maxText bounds what a passage keeps of the client's path and host, in bytes each.
const maxText = 512

// passage is what is kept of a finished exchange, without its headers and bodies: enough to tell every decision later. It is used again and again: noting an exchange in it
// copies some hundred bytes and allocates nothing once its slices have grown.
type passage struct {
	id, method, authority, path []byte
	high, low                   uint64 // of the trace
	traced                      bool

	start     time.Time
	times     stream.Times
	direction config.Direction
	own, peer Workload
	principal [2]string // of the client and of the endpoint
	client    loop.Address
	mutual    bool
	protocol  string
	status    int
	grpc      int
	flags     codec.Flags
	received  uint64
	sent      uint64

	listener, chain, clusterOrigin, session string
	trail                                   stream.Trail
	service                                 config.ClusterTelemetry
	endpoint                                loop.Address
	hash                                    []config.HashPolicy
	hashed                                  uint32
	acts                                    []stream.Act
	tries                                   []try
}

// try is a stream.Try with its times since the exchange's start.
type try struct {
	stream.Try
	began, ready, ended, dialled, connected, secured time.Duration
}

// note takes an exchange over.
func (p *passage) note(r *Reporter, x *stream.Exchange) {
	h, m := &x.Request, x.Manager()
	acts, tries := append(p.acts[:0], x.Acts()...), p.tries[:0]
	for _, t := range x.Tries() {
		tries = append(tries, try{t, x.Since(t.Began), x.Since(t.Ready), x.Since(t.Ended), x.Since(t.Dialled), x.Since(t.Connected), x.Since(t.Secured)})
	}
	id, _ := h.Value(codec.RequestID)
	texts := [4][]byte{id, h.Method(), h.Authority(), h.Path()}
	for i, to := range [4]*[]byte{&p.id, &p.method, &p.authority, &p.path} {
		*to = append((*to)[:0], texts[i][:min(len(texts[i]), maxText)]...)
	}
	p.acts, p.tries = acts, tries
	p.high, p.low, p.traced = x.TraceID()
	p.times, p.direction, p.own, p.peer = x.Times(), m.Direction, r.own, Workload{}
	p.start = p.times.Start
	if metadata, _ := x.Peer(); metadata != "" {
		if known := r.workers[x.Worker().Loop.Index()].peers[metadata]; known != nil {
			p.peer = known.workload
		}
	}
	p.principal = [2]string{x.Origin().Identity(), ""}
	p.mutual = p.principal[0] != ""
	if up := x.UpstreamOrigin(); up != nil {
		p.principal[1] = up.Identity()
		if m.Direction != config.Inbound {
			p.mutual = p.principal[1] != "" && len(up.TLS.LocalURIs) > 0
		}
	} else if m.Direction != config.Inbound {
		p.mutual = false
	}
	p.client, p.protocol, p.status, p.grpc, p.flags = x.Client.Address, x.Protocol(), x.Response.Status, x.GRPCStatus(), x.Flags()
	p.received, p.sent = x.Bytes()
	p.listener, p.chain, p.trail = m.Listener, m.Chain, x.Trail()
	p.clusterOrigin, p.service, p.session = "", config.ClusterTelemetry{}, ""
	if _, c := x.Cluster(); c != nil {
		p.clusterOrigin, p.service = c.Config().Origin, c.Config().Telemetry
	}
	p.endpoint = loop.Address{}
	if host := x.Host(); host != nil {
		p.endpoint = host.Address
	}
	if s := x.Session(); s != nil {
		if p.session = s.Header; s.Cookie != nil {
			p.session = s.Cookie.Name
		}
	}
	p.hash, p.hashed = x.Hashed()
}

// event spells a passage out, but for the headers.
func (p *passage) event() *tap.Event {
	e := &tap.Event{
		ID: string(p.id), Start: p.start.UTC(), Direction: direction(p.direction), Downstream: p.client.String(), Peer: p.principal[0], MTLS: p.mutual, Protocol: p.protocol,
		Method: string(p.method), Authority: string(p.authority), Path: string(p.path), Status: p.status, Flags: p.flags.String(), Details: p.trail.Details, Received: p.received, Sent: p.sent,
		Listener: p.listener, Chain: p.chain, Table: p.trail.Table, Host: p.trail.VirtualHost, Route: p.trail.Route, Origin: p.trail.Origin, Policy: p.trail.Policy,
		Cluster: p.trail.Cluster, ClusterOrigin: p.clusterOrigin, Subset: subsetOf(p.trail.Cluster), Endpoint: p.endpoint.String(), Attempts: p.trail.Attempts,
		RequestDone: millis(p.times.Request), ResponseBegan: millis(p.times.Response), Duration: millis(p.times.Whole),
	}
	if p.own.Name != "" {
		e.Proxy = p.own.Name + "." + p.own.Namespace
	}
	if p.traced {
		e.Trace = fmt.Sprintf("%016x%016x", p.high, p.low)
	}
	if status := p.grpc; status >= 0 {
		e.GRPC = &status // not the passage's own, which the worker uses again
	}
	for _, a := range p.acts {
		e.Filters = append(e.Filters, tap.Act{Filter: a.Filter, Did: a.Did, By: a.By, Status: a.Status, At: millis(a.At), Took: millis(a.Took)})
		if a.Filter == "rbac" && (a.Did == "allowed" || a.Did == "denied") {
			e.Access = access(a.By, a.Did == "allowed")
		}
	}
	p.sides(e)
	p.tell(e)
	return e
}

// access reads the name of a policy as the control plane writes it: ns[NAMESPACE]-policy[NAME]-rule[N].
func access(policy string, allowed bool) *tap.Access {
	a := &tap.Access{Allowed: allowed, Policy: policy}
	rest, ok := strings.CutPrefix(policy, "ns[")
	namespace, rest, ok1 := strings.Cut(rest, "]-policy[")
	name, rest, ok2 := strings.Cut(rest, "]-rule[")
	if n, err := strconv.Atoi(strings.TrimSuffix(rest, "]")); ok && ok1 && ok2 && err == nil {
		a.Policy, a.Rule = namespace+"/"+name, n
	}
	return a
}

// subsetOf is the subset in the name of a cluster: outbound|PORT|SUBSET|HOST.
func subsetOf(cluster string) string {
	if parts := strings.Split(cluster, "|"); len(parts) == 4 {
		return parts[2]
	}
	return ""
}

// sides tells who asked whom. What is not told by metadata, an identity tells.
func (p *passage) sides(e *tap.Event) {
	own := tap.Side{Workload: p.own.Name, Namespace: p.own.Namespace, Service: p.own.Service}
	other := tap.Side{Workload: p.peer.Name, Namespace: p.peer.Namespace, Service: p.peer.Service}
	if p.direction == config.Inbound {
		e.Source, e.Destination = other, own
		if p.service.Service != "" {
			e.Destination.Service = p.service.Service
		}
	} else {
		e.Source, e.Destination = own, tap.Side{Service: p.service.Service, Namespace: p.service.ServiceNamespace}
		if n := len(p.tries); n > 0 {
			if w := ParseWorkload(p.tries[n-1].Workload); w.Name != "" {
				e.Destination.Workload, e.Destination.Namespace = w.Name, w.Namespace
			}
		}
		if e.Destination.Workload == "" && p.peer.Name != "" {
			e.Destination.Workload, e.Destination.Namespace = p.peer.Name, p.peer.Namespace
		}
		e.Destination.Principal = p.principal[1]
	}
	if p.direction == config.Inbound || e.Source.Principal == "" {
		e.Source.Principal = p.principal[0]
	}
	if e.Source.Namespace == "" {
		e.Source.Namespace = namespaceOf(e.Source.Principal)
	}
	e.Source.Address, e.Destination.Address = e.Downstream, e.Endpoint
}

// namespaceOf is the namespace in a SPIFFE ID of the mesh.
func namespaceOf(id string) string {
	_, rest, ok := strings.Cut(id, "/ns/")
	namespace, _, _ := strings.Cut(rest, "/")
	if !ok {
		return ""
	}
	return namespace
}
