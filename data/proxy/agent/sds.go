package agent

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/heddle-mesh/heddle/data/proxy/secret"
	"github.com/heddle-mesh/heddle/xds"
)

// secrets serves the workload's own key, certificate and roots over SDS, and again whenever they are renewed.
type secrets struct {
	secretv3.UnimplementedSecretDiscoveryServiceServer
	log *slog.Logger

	mu      sync.Mutex
	current *secret.SVID  // nil before the first one
	changed chan struct{} // closed when current changes
}

func newSecrets(r *secret.Rotation, log *slog.Logger) *secrets {
	s := &secrets{log: log, changed: make(chan struct{})}
	r.Subscribe(s.set)
	return s
}

func (s *secrets) set(v *secret.SVID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = v
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *secrets) get() (*secret.SVID, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current, s.changed
}

// StreamSecrets answers subscriptions; before there is a certificate the client waits.
func (s *secrets) StreamSecrets(stream secretv3.SecretDiscoveryService_StreamSecretsServer) error {
	requests, failed := receive(stream)
	var names []string
	var sent *secret.SVID
	for {
		v, changed := s.get()
		if v != nil && v != sent && len(names) > 0 {
			m, err := answer(v, names)
			if err != nil {
				return err
			}
			if err := stream.Send(m); err != nil {
				return err
			}
			sent = v
		}
		select {
		case r := <-requests:
			if e := r.GetErrorDetail(); e != nil {
				s.log.Warn("Envoy refused a secret", "names", r.GetResourceNames(), "error", e.GetMessage())
			}
			if !slices.Equal(names, r.GetResourceNames()) {
				names, sent = r.GetResourceNames(), nil
			}
		case <-changed:
		case err := <-failed:
			return err
		}
	}
}

func receive(stream secretv3.SecretDiscoveryService_StreamSecretsServer) (<-chan *discoveryv3.DiscoveryRequest, <-chan error) {
	requests, failed := make(chan *discoveryv3.DiscoveryRequest), make(chan error, 1)
	go func() {
		for {
			r, err := stream.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case requests <- r:
			case <-stream.Context().Done():
				failed <- stream.Context().Err()
				return
			}
		}
	}()
	return requests, failed
}

// FetchSecrets answers once, when there is a certificate.
func (s *secrets) FetchSecrets(ctx context.Context, r *discoveryv3.DiscoveryRequest) (*discoveryv3.DiscoveryResponse, error) {
	for {
		v, changed := s.get()
		if v != nil {
			return answer(v, r.GetResourceNames())
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func answer(v *secret.SVID, names []string) (*discoveryv3.DiscoveryResponse, error) {
	version := v.Leaf.SerialNumber.Text(16)
	m := &discoveryv3.DiscoveryResponse{TypeUrl: xds.Secret, VersionInfo: version, Nonce: version}
	for _, name := range names {
		one := &tlsv3.Secret{Name: name}
		switch name {
		case secret.Default:
			one.Type = &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: inline(v.ChainPEM), PrivateKey: inline(v.KeyPEM)}}
		case secret.RootCA:
			one.Type = &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(v.RootsPEM)}}
		default:
			return nil, status.Errorf(codes.NotFound, "the agent makes the secrets %s and %s, not %q", secret.Default, secret.RootCA, name)
		}
		b, err := proto.Marshal(one)
		if err != nil {
			return nil, status.Errorf(codes.Internal, "encode secret %s: %v", name, err)
		}
		m.Resources = append(m.Resources, &anypb.Any{TypeUrl: xds.Secret, Value: b})
	}
	return m, nil
}

func inline(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}
