package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// local is the gRPC server on the socket that only Envoy knows, or the programs that gRPC serves.
type local struct {
	listener net.Listener
	server   *grpc.Server
}

// listenLocal serves the control plane's stream, and the secrets and the counters of traffic (nil for none), on one socket.
func listenLocal(path string, r *relay, m *metrics, s *secrets) (*local, error) {
	l, err := listenUnix(path)
	if err != nil {
		return nil, err
	}
	g := grpc.NewServer(grpc.ForceServerCodecV2(newFrames()), grpc.UnknownServiceHandler(r.serve), grpc.MaxRecvMsgSize(largestMessage))
	if s != nil {
		secretv3.RegisterSecretDiscoveryServiceServer(g, s)
	}
	if m != nil {
		accesslogv3.RegisterAccessLogServiceServer(g, m.tally)
	}
	return &local{listener: l, server: g}, nil
}

// listenUnix opens a socket for this user alone; one that a killed agent left behind is replaced.
func listenUnix(path string) (net.Listener, error) {
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("listen on %s: another process serves this socket; stop it or choose another path", path)
	}
	if fi, err := os.Stat(path); err == nil && fi.Mode()&os.ModeSocket != 0 {
		_ = os.Remove(path)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", path, err), l.Close())
	}
	return l, nil
}

func (l *local) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, l.server.Stop)
	defer stop()
	if err := l.server.Serve(l.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve xDS on %s: %w", l.listener.Addr(), err)
	}
	return nil
}

func (l *local) close() {
	l.server.Stop()
	_ = l.listener.Close() // the server has closed it if it ran
}

// frame is a message that is not looked into unless somebody asks.
type frame struct{ bytes []byte }

// frames is gRPC's protobuf codec that also passes frames through as they are.
type frames struct{ encoding.CodecV2 }

func newFrames() frames { return frames{encoding.GetCodecV2(proto.Name)} }

// Marshal implements encoding.CodecV2.
func (f frames) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(*frame); ok {
		return mem.BufferSlice{mem.SliceBuffer(m.bytes)}, nil
	}
	return f.CodecV2.Marshal(v)
}

// Unmarshal implements encoding.CodecV2.
func (f frames) Unmarshal(data mem.BufferSlice, v any) error {
	if m, ok := v.(*frame); ok {
		m.bytes = data.Materialize()
		return nil
	}
	return f.CodecV2.Unmarshal(data, v)
}
