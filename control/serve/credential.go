package serve

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/heddle-mesh/heddle/control/token"
	"github.com/heddle-mesh/heddle/identity"
)

var errNoCredential = errors.New("no credential was shown; send a bearer token in the authorization header, or a client certificate")

// Credentials authenticates clients by their verified certificate or, without one, by a bearer token.
type Credentials struct {
	Tokens      token.Reviewer
	TrustDomain identity.TrustDomain // of identities that tokens stand for
}

// Authenticate implements Authenticator. A certificate must have been verified by the listener's TLS configuration.
func (c Credentials) Authenticate(ctx context.Context) (identity.ID, error) {
	if cert := certificate(ctx); cert != nil {
		if len(cert.URIs) != 1 {
			return identity.ID{}, fmt.Errorf("the client certificate has %d URI names; an SVID has exactly one", len(cert.URIs))
		}
		return identity.ParseID(cert.URIs[0].String())
	}
	bearer, ok := bearerToken(ctx)
	if !ok {
		return identity.ID{}, errNoCredential
	}
	if c.Tokens == nil {
		return identity.ID{}, errors.New("tokens are not accepted here; show a client certificate")
	}
	claims, err := c.Tokens.Review(ctx, bearer)
	if err != nil {
		return identity.ID{}, err
	}
	return identity.NewID(c.TrustDomain, claims.Namespace, claims.ServiceAccount), nil
}

// certificate is the client's leaf if the handshake verified it.
func certificate(ctx context.Context) *x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return nil
	}
	return info.State.VerifiedChains[0][0]
}

func bearerToken(ctx context.Context) (string, bool) {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, v := range md.Get("authorization") {
		if scheme, rest, ok := strings.Cut(v, " "); ok && strings.EqualFold(scheme, "bearer") && rest != "" {
			return strings.TrimSpace(rest), true
		}
	}
	return "", false
}

// hasCredential says whether the client tried to prove who it is: then a failure is final.
func hasCredential(ctx context.Context) bool {
	_, bearer := bearerToken(ctx)
	return bearer || certificate(ctx) != nil
}

// local says whether the client is on this machine: a unix socket, a loopback address or an in-memory connection.
func local(ctx context.Context) bool {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return false
	}
	switch a := p.Addr.(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	}
	return p.Addr.Network() == "bufconn"
}
