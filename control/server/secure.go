package server

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	securityv1alpha1 "istio.io/api/security/v1alpha1"

	"github.com/heddle-mesh/heddle/control/ca"
	"github.com/heddle-mesh/heddle/identity"
)

// serverCertificate makes heddled's own certificate and a new one when two thirds of its life are over.
type serverCertificate struct {
	authority *ca.Authority
	id        identity.ID
	names     []string

	mu    sync.Mutex
	now   *tls.Certificate
	until time.Time
}

const serverTTL = 24 * time.Hour

func (c *serverCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now != nil && time.Now().Before(c.until) {
		return c.now, nil
	}
	cert, err := c.authority.Server(c.id, c.names, serverTTL)
	if err != nil {
		return nil, err
	}
	c.now, c.until = &cert, time.Now().Add(serverTTL*2/3)
	return c.now, nil
}

// certificate names heddled as proxies and the Kubernetes API may call it: Istio's name, its own, and the addresses that it listens on.
func (d *Server) certificate() *serverCertificate {
	ns := d.opts.Namespace
	names := []string{"localhost", "127.0.0.1", "::1"}
	for _, n := range []string{"istiod", "heddled"} {
		names = append(names, n, n+"."+ns, n+"."+ns+".svc", n+"."+ns+".svc.cluster.local")
	}
	for _, a := range []string{d.opts.XDSTLSAddress, d.opts.WebhookAddress} {
		if host, _, err := net.SplitHostPort(a); err == nil && host != "" {
			names = append(names, host)
		}
	}
	if h, err := os.Hostname(); err == nil {
		names = append(names, h)
	}
	return &serverCertificate{authority: d.authority, id: identity.NewID(d.opts.domain, ns, "heddled"), names: append(names, d.opts.TLSNames...)}
}

// serverTLS asks clients for their certificate but lets those without one show a token.
func (d *Server) serverTLS() *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(d.authority.Roots())
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: d.certificate().get, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: roots, NextProtos: []string{"h2"}}
}

// services are what is served beside ADS on every xDS socket: Istio's certificate service, when there is an authority.
func (d *Server) services() []func(grpc.ServiceRegistrar) {
	if d.authority == nil {
		return nil
	}
	service := &ca.Service{Authority: d.authority, Authenticator: d.auth, Counter: newCACounter(d.metrics), Log: d.log.With("part", "ca")}
	return []func(grpc.ServiceRegistrar){func(r grpc.ServiceRegistrar) { securityv1alpha1.RegisterIstioCertificateServiceServer(r, service) }}
}

// caCounter counts certificates under the names of Istio's dashboards.
type caCounter struct {
	requests, issued prometheus.Counter
	failed           *prometheus.CounterVec
}

func newCACounter(r prometheus.Registerer) caCounter {
	c := caCounter{
		requests: prometheus.NewCounter(prometheus.CounterOpts{Name: "citadel_server_csr_count", Help: "Certificate requests received."}),
		issued:   prometheus.NewCounter(prometheus.CounterOpts{Name: "citadel_server_success_cert_issuance_count", Help: "Certificates issued."}),
		failed:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "citadel_server_failures", Help: "Certificate requests that failed, by reason."}, []string{"reason"}),
	}
	r.MustRegister(c.requests, c.issued, c.failed)
	return c
}

// Request counts a request.
func (c caCounter) Request() { c.requests.Inc() }

// Issued counts a certificate.
func (c caCounter) Issued() { c.issued.Inc() }

// Failed counts a failure.
func (c caCounter) Failed(reason string) { c.failed.WithLabelValues(reason).Inc() }
