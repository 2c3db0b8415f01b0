package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/data/proxy/secret"
	"github.com/heddle-mesh/heddle/xds"
)

// largestMessage bounds one xDS message.
const largestMessage = 256 << 20

// relay carries Envoy's ADS stream to the control plane as it is, with the workload's credential, and asks on it for the name table, so that the control plane sees
// one stream, which lives as long as Envoy does. Without names it carries whatever streams there are, in both forms of the protocol.
type relay struct {
	channel secret.Channel
	opts    []grpc.DialOption
	conn    *grpc.ClientConn
	names   func(table []byte) error
	log     *slog.Logger

	mu     sync.Mutex
	silent bool
	open   map[*exchange]struct{}
	health *status.Status // of the workload: code OK is well; nil before the first word
}

func newRelay(c secret.Channel, names func([]byte) error, log *slog.Logger) (*relay, error) {
	creds, err := c.Credentials()
	if err != nil {
		return nil, err
	}
	opts := []grpc.DialOption{grpc.WithTransportCredentials(creds), grpc.WithContextDialer(c.Dial), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(newFrames()), grpc.MaxCallRecvMsgSize(largestMessage))}
	conn, err := grpc.NewClient(c.Target(), opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to the control plane at %s: %w", c.Address, err)
	}
	return &relay{channel: c, opts: opts, conn: conn, names: names, log: log, open: map[*exchange]struct{}{}}, nil
}

func (r *relay) close() { _ = r.conn.Close() }

// silence ends Envoy's streams and refuses new ones: the control plane takes the workload for gone, while Envoy goes on with what it has.
func (r *relay) silence() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silent = true
	for x := range r.open {
		x.cancel()
	}
}

// tell says what was found out about the workload: on the streams that are there, and first thing on those that follow.
func (r *relay) tell(healthy bool, message string) {
	h := &status.Status{}
	if !healthy {
		h.Code, h.Message = int32(codes.Unavailable), message
	}
	r.mu.Lock()
	r.health = h
	open := slices.Collect(maps.Keys(r.open))
	r.mu.Unlock()
	for _, x := range open {
		if err := x.tell(); err != nil {
			r.log.Debug("a stream ended before it heard of the workload's health", "error", err)
		}
	}
}

// exchange is one stream of Envoy's and its continuation upstream.
type exchange struct {
	relay  *relay
	down   grpc.ServerStream
	cancel context.CancelFunc
	delta  bool

	mu    sync.Mutex // for writes to up, which has several writers
	up    grpc.ClientStream
	named bool // the control plane knows whose stream it is
}

// serve implements grpc.StreamHandler for every method that is not registered.
func (r *relay) serve(_ any, down grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(down)
	delta := method == discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResources_FullMethodName
	if r.names != nil && !delta || !delta && method != discoveryv3.AggregatedDiscoveryService_StreamAggregatedResources_FullMethodName {
		return grpcstatus.Errorf(codes.Unimplemented, "the agent does not serve %s", method)
	}
	ctx, cancel := context.WithCancel(down.Context())
	defer cancel()
	x := &exchange{relay: r, down: down, cancel: cancel, delta: delta}
	r.mu.Lock()
	silent := r.silent
	r.open[x] = struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.open, x)
		r.mu.Unlock()
	}()
	if silent {
		return grpcstatus.Error(codes.Unavailable, "the proxy is draining")
	}
	err := x.run(ctx, method)
	if err != nil && down.Context().Err() == nil {
		r.log.Warn("stream to the control plane ended", "server", r.channel.Address, "error", err)
	}
	return err
}

// connection is what a stream goes over: the one of all streams or, where the workload's certificate is shown in place of a token, one that has shown it.
func (r *relay) connection() (conn *grpc.ClientConn, done func(), err error) {
	if r.channel.Proof() == nil {
		return r.conn, func() {}, nil
	}
	if conn, err = grpc.NewClient(r.channel.Target(), r.opts...); err != nil {
		return nil, nil, fmt.Errorf("connect to the control plane at %s: %w", r.channel.Address, err)
	}
	return conn, func() { _ = conn.Close() }, nil // its stream is over
}

func (x *exchange) run(ctx context.Context, method string) (err error) {
	conn, closing, err := x.relay.connection()
	if err != nil {
		return grpcstatus.Error(codes.Unavailable, err.Error())
	}
	defer closing()
	token, err := x.relay.channel.Token()
	if err != nil {
		return grpcstatus.Error(codes.Unauthenticated, err.Error())
	}
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	if id := x.relay.channel.ClusterID; id != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "clusterid", id)
	}
	if x.up, err = conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		done <- x.requests()
		x.cancel()
	}()
	err = x.responses()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if grpcstatus.Code(err) == codes.Canceled { // by the other direction
		select {
		case e := <-done:
			return e
		default:
		}
	}
	return err
}

// requests carries what Envoy says. The name table is asked for behind the first request, which has the node.
func (x *exchange) requests() error {
	for first := true; ; first = false {
		var f frame
		if err := x.down.RecvMsg(&f); err != nil {
			return err
		}
		if err := x.send(&f); err != nil {
			return err
		}
		if !first {
			continue
		}
		if x.relay.names != nil {
			if err := x.ask(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.NameTable}); err != nil {
				return err
			}
		}
		x.mu.Lock()
		x.named = true
		x.mu.Unlock()
		if err := x.tell(); err != nil {
			return err
		}
	}
}

func (x *exchange) send(f *frame) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.up.SendMsg(f)
}

// tell says the health of the workload, if something is known of it and the control plane knows whose it is.
func (x *exchange) tell() error {
	x.relay.mu.Lock()
	h := x.relay.health
	x.relay.mu.Unlock()
	x.mu.Lock()
	named := x.named
	x.mu.Unlock()
	if h == nil || !named {
		return nil
	}
	if h.GetCode() == 0 {
		h = nil
	}
	if x.delta {
		return x.ask(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.Health, ErrorDetail: h})
	}
	return x.ask(&discoveryv3.DiscoveryRequest{TypeUrl: xds.Health, ErrorDetail: h})
}

func (x *exchange) ask(m proto.Message) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return x.send(&frame{b})
}

// responses carries what the control plane says, but for the name table, which stays here.
func (x *exchange) responses() error {
	for {
		var f frame
		if err := x.up.RecvMsg(&f); err != nil {
			return err
		}
		var err error
		if x.relay.names != nil && typeOf(f.bytes) == xds.NameTable {
			err = x.take(f.bytes)
		} else {
			err = x.down.SendMsg(&f)
		}
		if err != nil {
			return err
		}
	}
}

// take uses a name table and answers for it.
func (x *exchange) take(b []byte) error {
	var m discoveryv3.DeltaDiscoveryResponse
	if err := proto.Unmarshal(b, &m); err != nil {
		return grpcstatus.Errorf(codes.InvalidArgument, "read the response with the name table: %v", err)
	}
	answer := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.NameTable, ResponseNonce: m.GetNonce()}
	for _, r := range m.GetResources() {
		if err := x.relay.names(r.GetResource().GetValue()); err != nil {
			answer.ErrorDetail = &status.Status{Code: int32(codes.InvalidArgument), Message: err.Error()}
			x.relay.log.Warn("name table refused", "error", err)
		}
	}
	return x.ask(answer)
}

// typeOf is DeltaDiscoveryResponse.type_url (field 4), "" when there is none.
func typeOf(b []byte) string {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return ""
		}
		if b = b[size:]; n == 4 && kind == protowire.BytesType {
			v, size := protowire.ConsumeBytes(b)
			if size < 0 {
				return ""
			}
			return string(v)
		}
		if size = protowire.ConsumeFieldValue(n, kind, b); size < 0 {
			return ""
		}
		b = b[size:]
	}
	return ""
}
