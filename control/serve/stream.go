package serve

import (
	"context"
	"errors"
	"io"
	"iter"
	"strconv"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/session"
	"github.com/heddle-mesh/heddle/xds/wire"
)

// conn is one stream. Its session belongs to the stream's goroutine and is looked at by /debug, both under mu, which is not held while writing.
type conn struct {
	server *Server
	id     string
	proxy  *mesh.Proxy
	mode   session.Mode
	since  time.Time
	poke   chan struct{}

	mu       sync.Mutex
	session  *session.Session
	entry    Registration  // nil: its workload needs none
	closed   chan struct{} // closed by Disconnect, once
	once     sync.Once
	revision mesh.Revision // that the session last looked at

	due    time.Time // when the oldest change was heard of that is not acknowledged yet
	unsent time.Time // the same, not sent yet
	sent   bool      // something of it was sent

	// The rest needs the server's mu.
	names        map[xds.Name]struct{}
	types        map[string]struct{}
	pending      [][]Change
	pendingN     int
	everything   bool
	changedSince time.Time
}

// DeltaAggregatedResources serves the incremental form.
func (s *Server) DeltaAggregatedResources(stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.serve(stream, session.Delta, func() (*corev3.Node, session.Request, error) {
		r, err := stream.Recv()
		if err != nil {
			return nil, session.Request{}, err
		}
		return r.GetNode(), wire.DeltaRequest(r), nil
	})
}

// StreamAggregatedResources serves the state-of-the-world form.
func (s *Server) StreamAggregatedResources(stream discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return s.serve(stream, session.StateOfTheWorld, func() (*corev3.Node, session.Request, error) {
		r, err := stream.Recv()
		if err != nil {
			return nil, session.Request{}, err
		}
		return r.GetNode(), wire.WorldRequest(r), nil
	})
}

// serve admits a client by its credential and its first request, and runs its stream to the end.
func (s *Server) serve(stream grpc.ServerStream, mode session.Mode, recv func() (*corev3.Node, session.Request, error)) error {
	who, err := s.authenticate(stream.Context()) // before a byte of the client's is looked at
	if err != nil {
		s.log.Warn("stream refused", "error", err)
		return err
	}
	node, first, err := recv()
	if err != nil {
		return err
	}
	proxy, err := s.admit(who, node)
	if err != nil {
		s.log.Warn("proxy refused", "node", node.GetId(), "error", err)
		return err
	}
	entry, err := s.register(stream.Context(), proxy, !who.IsZero())
	if err != nil {
		s.log.Warn("proxy refused", "node", node.GetId(), "error", err)
		return err
	}
	if entry != nil {
		defer entry.Release()
	}
	c := &conn{
		server: s, entry: entry, proxy: proxy, mode: mode, since: time.Now(), poke: make(chan struct{}, 1), closed: make(chan struct{}),
		names: map[xds.Name]struct{}{}, types: map[string]struct{}{},
	}
	c.session = session.New(mode, func(r *xds.Resource) (session.Standing, *xds.Resource) { return s.judge(proxy, r) })
	s.mu.Lock()
	s.streams++
	c.id = proxy.ID + "-" + strconv.FormatUint(s.streams, 10)
	s.mu.Unlock()
	s.join(c)
	s.opts.Metrics.connected(proxy, 1)
	s.opts.Observer.Connected(proxy)
	s.log.Info("proxy connected", "proxy", proxy.ID, "connection", c.id, "identity", proxy.Identity.String(), "build", proxy.Build)
	defer func() {
		s.leave(c)
		s.opts.Metrics.connected(proxy, -1)
		s.opts.Observer.Disconnected(proxy)
		s.log.Info("proxy disconnected", "proxy", proxy.ID, "connection", c.id)
	}()
	requests, failed := c.read(stream.Context(), first, recv)
	err = c.run(stream.Context(), requests, failed, func(r *session.Response) error { return stream.SendMsg(r) })
	if errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled {
		return nil
	}
	return err
}

// judge withholds what a proxy refused on an earlier stream, and says so again: who listens forgot it with that stream.
func (s *Server) judge(p *mesh.Proxy, r *xds.Resource) (session.Standing, *xds.Resource) {
	standing, own := s.quarantine.standing(p, r)
	if standing == session.Refused {
		s.opts.Observer.Rejected(p, r, own.text)
	}
	return standing, own.good
}

// read hands over requests from a goroutine of their own; it ends with the stream.
func (c *conn) read(ctx context.Context, first session.Request, recv func() (*corev3.Node, session.Request, error)) (<-chan session.Request, <-chan error) {
	requests, failed := make(chan session.Request, 1), make(chan error, 1)
	requests <- first
	go func() {
		for {
			_, r, err := recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case requests <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	return requests, failed
}

// run is the life of the stream: take what the client said, send what is most urgent, sleep.
func (c *conn) run(ctx context.Context, requests <-chan session.Request, failed <-chan error, send func(*session.Response) error) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case r := <-requests:
			if err := c.receive(r); err != nil {
				return err
			}
		case <-c.poke:
		case <-timer.C:
		case err := <-failed:
			return err
		case <-c.closed:
			return status.Error(codes.Unavailable, "the control plane closed this stream; connect again")
		case <-ctx.Done():
			return ctx.Err()
		}
		for {
			for more := true; more; { // answers first: they may change what is sent
				select {
				case r := <-requests:
					if err := c.receive(r); err != nil {
						return err
					}
				default:
					more = false
				}
			}
			r, wake, err := c.next(ctx)
			if err != nil {
				return err
			}
			if r == nil {
				timer.Reset(untilWake(wake))
				break
			}
			begin := time.Now()
			if err := send(r); err != nil {
				return err
			}
			c.server.opts.Metrics.sent(r, time.Since(begin))
		}
	}
}

func untilWake(wake time.Time) time.Duration {
	if wake.IsZero() {
		return time.Hour
	}
	return max(time.Until(wake), time.Millisecond)
}

func (c *conn) wake() {
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

// next asks the session for the most urgent response; nil and the time to ask again when there is none.
func (c *conn) next(ctx context.Context) (*session.Response, time.Time, error) {
	select {
	case c.server.slots <- struct{}{}:
		defer func() { <-c.server.slots }()
	case <-ctx.Done():
		return nil, time.Time{}, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	served, pending, everything, since := c.server.take(c)
	if served == nil {
		return nil, time.Time{}, nil // the first publication wakes everybody
	}
	c.revision = served.revision
	c.heard(since)
	if everything {
		c.session.ChangedAll()
	}
	for _, changes := range pending {
		for _, ch := range changes {
			c.session.Changed(ch.Name, ch.Variant)
		}
	}
	begin := time.Now()
	r, ok := c.session.Next(begin, view{served.store, c.proxy}, c.server.opts.Budget)
	if relieved := c.session.Relieved(); len(relieved) > 0 {
		c.server.opts.Observer.Acked(c.proxy, c.revision, relieved)
	}
	if !ok {
		c.drained(begin)
		return nil, c.session.Wake(begin), nil
	}
	c.server.opts.Metrics.built(r.TypeURL, time.Since(begin))
	c.sent = true
	return &r, time.Time{}, nil
}

// view is the store as one proxy sees it.
type view struct {
	store Store
	proxy *mesh.Proxy
}

func (v view) Names(typeURL string) iter.Seq[string]     { return v.store.Names(v.proxy, typeURL) }
func (v view) Resource(n xds.Name) (*xds.Resource, bool) { return v.store.Resource(v.proxy, n) }

// heard notes since when the client lacks a change.
func (c *conn) heard(since time.Time) {
	if since.IsZero() {
		return
	}
	if c.unsent.IsZero() {
		c.unsent = since
	}
	if c.due.IsZero() {
		c.due = since
	}
}

// drained is called when there is nothing to send now.
func (c *conn) drained(now time.Time) {
	if c.unsent.IsZero() || !c.session.Drained() {
		return
	}
	if c.sent {
		c.server.opts.Metrics.converged(now.Sub(c.unsent))
	} else {
		c.due = time.Time{} // the change was not for this client
	}
	c.unsent, c.sent = time.Time{}, false
	c.confirmed(now)
}

func (c *conn) confirmed(now time.Time) {
	if c.due.IsZero() || !c.unsent.IsZero() || !c.session.Confirmed() {
		return
	}
	c.server.opts.Metrics.acknowledged(now.Sub(c.due))
	c.due = time.Time{}
}

// receive takes one request.
func (c *conn) receive(r session.Request) error {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.TypeURL == "" {
		return status.Error(codes.InvalidArgument, "the request has no type_url: aggregated discovery needs one")
	}
	if r.TypeURL == xds.Health {
		c.probed(r)
		return nil
	}
	out := c.session.Receive(now, r)
	c.server.index(c, r.TypeURL, out)
	if n, types := c.session.Size(); n > c.server.opts.MaxNames || types > 64 {
		return status.Errorf(codes.ResourceExhausted, "proxy %s subscribes to %d names of %d types; the limit is %d names of 64 types", c.proxy.ID, n, types, c.server.opts.MaxNames)
	}
	c.report(r, out)
	c.confirmed(now)
	return nil
}

// report tells the observer, the quarantine, the metrics and the log what an answer meant.
func (c *conn) report(r session.Request, out session.Outcome) {
	s := c.server
	if out.Answer == session.Expired {
		s.opts.Metrics.expired(r.TypeURL)
	}
	if out.Answer == session.Nack {
		s.opts.Metrics.rejected(r.TypeURL, c.proxy)
		s.log.Warn("proxy rejected configuration", "proxy", c.proxy.ID, "type", xds.ShortType(r.TypeURL), "culprits", len(out.Rejected), "error", r.Error)
	}
	for _, x := range out.Rejected {
		s.quarantine.add(c.proxy, x)
		s.opts.Observer.Rejected(c.proxy, x.Resource, x.Error)
	}
	if len(out.Accepted) > 0 {
		s.opts.Observer.Acked(c.proxy, c.revision, out.Accepted)
	}
}
