package tls

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// state is a context at one moment: what was made of one set of certificates and trust. A changed set makes a new state with new
// ticket keys, so that no session outlives the secrets it was proved with.
type state struct {
	certificates []*Certificates
	trust        *Trust
	chains       []tls.Certificate
	config       *tls.Config // with ALPN
	noALPN       *tls.Config // for a client that shares none: Envoy goes on without
	born         time.Time
}

// ticketLife bounds the age of the keys of session tickets, as crypto/tls does for keys of its own.
const ticketLife = 24 * time.Hour

// holds says whether the sources still hold what the state was made of.
func (s *state) holds(m *material) bool {
	for i, c := range m.certificates {
		if c.Load() != s.certificates[i] {
			return false
		}
	}
	return m.trust.Load() == s.trust
}

var errNoCertificates = errors.New("no certificate has been received yet")

// gather reads the sources.
func (m *material) gather() (*state, error) {
	s := &state{trust: m.trust.Load()}
	for _, source := range m.certificates {
		c := source.Load()
		if c == nil {
			return nil, errNoCertificates
		}
		s.certificates = append(s.certificates, c)
		s.chains = append(s.chains, c.Chains...)
	}
	return s, nil
}

func (m *material) verifier(trust *Trust, require bool, usage x509.ExtKeyUsage) func(tls.ConnectionState) error {
	v := &verifier{params: m.params, verify: m.trust != nil && !m.params.TrustUnverified, trust: trust, require: require, usage: usage}
	return func(s tls.ConnectionState) error { return v.check(s, time.Now()) }
}

// ServerContext is the immutable choice of a listener's filter chain (DownstreamTlsContext). Safe for concurrent use.
type ServerContext struct {
	material
	base    *tls.Config
	outer   *tls.Config
	require bool
	current atomic.Pointer[state]
}

// NewServerContext builds a context; the error begins with the field that cannot be honoured.
func NewServerContext(c *config.ServerTLS, from Secrets) (*ServerContext, error) {
	base, m, err := settings(&c.TLSParams, from)
	if err != nil {
		return nil, err
	}
	if len(m.certificates) == 0 {
		return nil, errors.New("common_tls_context.tls_certificates: a server needs a certificate")
	}
	// The verifier checks what is shown; crypto/tls only asks.
	if c.RequireClientCertificate {
		base.ClientAuth = tls.RequireAnyClientCert
	} else if c.Roots != nil {
		base.ClientAuth = tls.RequestClientCert
	}
	base.SessionTicketsDisabled = c.DisableResumption
	x := &ServerContext{material: m, base: base, outer: base.Clone(), require: c.RequireClientCertificate}
	x.outer.GetConfigForClient = x.choose
	return x, nil
}

// Ready says whether the certificates and trust anchors that are asked for have been received.
func (x *ServerContext) Ready() bool { return x.ready() }

func (x *ServerContext) choose(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	s, err := x.load()
	if err != nil {
		return nil, err
	}
	if len(hello.SupportedProtos) > 0 && !slices.ContainsFunc(hello.SupportedProtos, func(p string) bool { return slices.Contains(s.config.NextProtos, p) }) {
		return s.noALPN, nil
	}
	return s.config, nil
}

func (x *ServerContext) load() (*state, error) {
	if s := x.current.Load(); s != nil && s.holds(&x.material) && time.Since(s.born) < ticketLife {
		return s, nil
	}
	s, err := x.gather()
	if err != nil {
		return nil, err
	}
	s.born = time.Now()
	s.config = x.base.Clone()
	// Without keys of its own a config that GetConfigForClient returns uses those of the outer one, which never change with the secrets.
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return nil, fmt.Errorf("make a ticket key: %w", err)
	}
	s.config.SetSessionTicketKeys([][32]byte{key})
	s.config.Certificates = s.chains
	if s.trust != nil {
		s.config.ClientCAs = s.trust.Pool
	}
	s.config.VerifyConnection = x.verifier(s.trust, x.require, x509.ExtKeyUsageClientAuth)
	s.noALPN = s.config.Clone()
	s.noALPN.NextProtos = nil
	x.current.Store(s) // two at once make one too many, which dies
	return s, nil
}

// ClientContext is the immutable choice of an upstream's transport socket (UpstreamTlsContext). Safe for concurrent use.
type ClientContext struct {
	material
	base    *tls.Config
	sni     string
	autoSNI bool
	autoSAN bool
	current atomic.Pointer[state]
}

// sessions is the number of sessions kept for resumption per context (Envoy's max_session_keys is 1; endpoints of a service share a context here).
const sessions = 64

// NewClientContext builds a context; the error begins with the field that cannot be honoured.
func NewClientContext(c *config.ClientTLS, from Secrets) (*ClientContext, error) {
	base, m, err := settings(&c.TLSParams, from)
	if err != nil {
		return nil, err
	}
	base.InsecureSkipVerify = true // the verifier checks, by Envoy's rules: chain and names, not the SNI
	base.ServerName = c.SNI
	return &ClientContext{material: m, base: base, sni: c.SNI, autoSNI: c.AutoSNI, autoSAN: c.AutoSAN}, nil
}

// SNI is the configured server name; AutoSNI says that the request's host is to be used instead.
func (x *ClientContext) SNI() string { return x.sni }

// AutoSNI says whether the server name follows the request's host (auto_sni).
func (x *ClientContext) AutoSNI() bool { return x.autoSNI }

// Ready says whether what is asked for has been received.
func (x *ClientContext) Ready() bool { return x.ready() }

// Offer is the list of protocols to offer where the transport names none: what is going to be spoken. It is nil, for the transport's own, where it does.
func (x *ClientContext) Offer(protocol string) []string {
	if len(x.base.NextProtos) > 0 {
		return nil
	}
	return []string{protocol}
}

func (x *ClientContext) load() (*state, error) {
	if s := x.current.Load(); s != nil && s.holds(&x.material) {
		return s, nil
	}
	s, err := x.gather()
	if err != nil {
		return nil, err
	}
	s.config = x.base.Clone()
	if len(s.chains) > 0 {
		// A server's list of acceptable authorities is a hint, which Envoy does not follow either.
		chains := s.chains
		s.config.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			for i := range chains {
				if r.SupportsCertificate(&chains[i]) == nil {
					return &chains[i], nil
				}
			}
			return &chains[0], nil
		}
	}
	s.config.ClientSessionCache = tls.NewLRUClientSessionCache(sessions)
	s.config.VerifyConnection = x.verifier(s.trust, true, x509.ExtKeyUsageServerAuth)
	x.current.Store(s)
	return s, nil
}

// dial is the config of one connection; sni and alpn, when set, go before those of the context.
func (x *ClientContext) dial(sni string, alpn []string) (*tls.Config, *state, error) {
	s, err := x.load()
	if err != nil {
		return nil, nil, err
	}
	named := x.autoSAN && sni != ""
	if (sni == "" || sni == x.sni) && alpn == nil && !named {
		return s.config, s, nil
	}
	t := s.config.Clone()
	if sni != "" {
		t.ServerName = sni
	}
	if alpn != nil {
		t.NextProtos = alpn
	}
	if named {
		t.VerifyConnection = provesName(s.config.VerifyConnection, sni)
	}
	return t, s, nil
}
