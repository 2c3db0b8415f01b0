package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/config/decode"
	"github.com/heddle-mesh/heddle/data/proxy/secret"
	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/client"
)

// buildControl prepares the stream to the control plane, of the workload or of the bootstrap file.
func (s *Server) buildControl() error {
	c := client.Config{Node: s.node, Handler: s.live, Log: s.opts.Log, StateOfTheWorld: s.opts.World}
	switch {
	case s.opts.Workload != nil && s.opts.XDS.Address != "":
		channel := s.opts.XDS
		if s.rotation != nil {
			channel.Own = s.rotation.Current
		}
		c.Target, c.TokenFile, c.Token = channel.Address, channel.TokenFile, channel.Token
		t, err := channelTLS(channel)
		if err != nil {
			return err
		}
		if c.TLS = t; t != nil {
			t.GetClientCertificate = channel.Certificate
		}
	case s.bootstrap != nil && s.bootstrap.ADS != nil:
		a := s.bootstrap.ADS
		c.Target, c.StateOfTheWorld = a.Target, a.StateOfTheWorld
		if a.TLS != nil {
			t, err := bootstrapTLS(a.TLS, a.Target)
			if err != nil {
				return err
			}
			c.TLS = t
		}
		if !strings.HasPrefix(c.Target, "unix:") {
			c.Dial = s.dialControl(a)
		}
	default:
		return nil
	}
	if s.opts.Mark != 0 && c.Dial == nil && !strings.HasPrefix(c.Target, "unix:") { // capture must leave the stream alone
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) { return s.dialMarked(ctx, "tcp", address) }
	}
	x, err := client.New(c)
	if err != nil {
		return err
	}
	s.xds = x
	return nil
}

// dialControl connects as the bootstrap's cluster of the control plane asks.
func (s *Server) dialControl(a *decode.ADS) func(context.Context, string) (net.Conn, error) {
	d := s.netDialer(a.ConnectTimeout)
	if k := a.Keepalive; k.Time > 0 {
		d.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: k.Time, Interval: k.Interval, Count: int(k.Probes)}
	}
	return func(ctx context.Context, address string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) }
}

// follow subscribes to what the control plane is to say.
func (s *Server) follow() {
	if s.xds == nil {
		return
	}
	types := []string{xds.Cluster, xds.Listener}
	if s.opts.Workload == nil {
		types = types[:0]
		if s.bootstrap.ADS.Clusters {
			types = append(types, xds.Cluster)
			s.live.Expect(xds.Cluster, s.bootstrap.ADS.ClustersWait)
		}
		if s.bootstrap.ADS.Listeners {
			types = append(types, xds.Listener)
			s.live.Expect(xds.Listener, s.bootstrap.ADS.ListenersWait)
		}
	}
	if s.dns != nil {
		types = append(types, xds.NameTable)
	}
	world := s.opts.World || s.opts.Workload == nil && s.bootstrap.ADS.StateOfTheWorld
	s.live.Follow(s.xds, !world, types...)
}

// channelTLS is the security of a channel; nil is plaintext (see secret.Channel.Credentials for where that is allowed).
func channelTLS(c secret.Channel) (*tls.Config, error) {
	if _, err := c.Credentials(); err != nil {
		return nil, err
	}
	if c.RootCert == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.RootCert)
	if err != nil {
		return nil, fmt.Errorf("read the control plane's root certificate: %w", err)
	}
	return clientTLS(pem, c.Name, c.Address)
}

func clientTLS(roots []byte, name, target string) (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots) {
		return nil, fmt.Errorf("read the control plane's root certificate: it holds no PEM certificate")
	}
	if name == "" {
		if host, _, err := net.SplitHostPort(target); err == nil {
			name = host
		}
	}
	return &tls.Config{RootCAs: pool, ServerName: name, MinVersion: tls.VersionTLS12}, nil
}

// bootstrapTLS is the transport socket of the bootstrap's ADS cluster, with everything inline or in files.
func bootstrapTLS(c *config.ClientTLS, target string) (*tls.Config, error) {
	if c.Roots == nil || len(c.Roots.Roots) == 0 {
		return nil, fmt.Errorf("the ADS cluster's transport_socket has no validation_context.trusted_ca, so the control plane could be anybody")
	}
	out, err := clientTLS(c.Roots.Roots, c.SNI, target)
	if err != nil {
		return nil, err
	}
	for _, ref := range c.Certificates {
		pair, err := tls.X509KeyPair(ref.Certificate, ref.Key)
		if err != nil {
			return nil, fmt.Errorf("the ADS cluster's certificate: %w", err)
		}
		out.Certificates = append(out.Certificates, pair)
	}
	return out, nil
}
