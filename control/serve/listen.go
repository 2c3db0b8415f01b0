package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/heddle-mesh/heddle/xds/wire"
)

// Endpoint is a socket that ADS (and the services registered beside it) is served on.
type Endpoint struct {
	Name     string // for errors and logs, such as the flag that set it
	Listener net.Listener
	TLS      *tls.Config // nil: plaintext
}

// Listen opens HOST:PORT, or unix:PATH whose socket only this user may open. An error names the address and who to ask.
func Listen(name, address string) (net.Listener, error) {
	network, target := "tcp", address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, target = "unix", path
		if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("listen on %s (%s): another process serves this socket; stop it or choose another path", address, name)
		}
		if fi, err := os.Stat(path); err == nil && fi.Mode()&os.ModeSocket != 0 {
			_ = os.Remove(path) // left behind by a process that was killed
		}
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), network, target)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s (%s): the port is taken by another process; choose another with --%s", address, name, name)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s (%s): %w", address, name, err)
	}
	if network == "unix" {
		if err := os.Chmod(target, 0o600); err != nil {
			_ = l.Close()
			return nil, fmt.Errorf("listen on %s (%s): %w", address, name, err)
		}
	}
	return l, nil
}

// GRPC is a gRPC server that serves ADS with credentials of its own; register further services before Serve.
func (s *Server) GRPC(config *tls.Config) *grpc.Server {
	creds := insecure.NewCredentials()
	if config != nil {
		creds = credentials.NewTLS(config)
	}
	g := grpc.NewServer(
		grpc.Creds(creds),
		grpc.ForceServerCodecV2(wire.Codec()),
		grpc.MaxRecvMsgSize(4<<20),
		grpc.MaxConcurrentStreams(64),
		// Proxies say little and are silent most of the time: buffers of gRPC's default sizes would be most of what one costs.
		grpc.ReadBufferSize(4<<10),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.ConnectionTimeout(15*time.Second),
	)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, s)
	return g
}

// Run serves on every endpoint until the context ends; then streams are closed at once, since clients keep what they have and come back. register adds further services.
func (s *Server) Run(ctx context.Context, endpoints []Endpoint, register ...func(grpc.ServiceRegistrar)) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, e := range endpoints {
		g := s.GRPC(e.TLS)
		for _, add := range register {
			add(g)
		}
		s.log.Info("serving xDS", "name", e.Name, "address", e.Listener.Addr().String(), "tls", e.TLS != nil)
		group.Go(func() error {
			if err := g.Serve(e.Listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				return fmt.Errorf("serve xDS on %s (%s): %w", e.Listener.Addr(), e.Name, err)
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			g.Stop()
			return nil
		})
	}
	return group.Wait()
}
