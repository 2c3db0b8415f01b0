package secret

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"
	securityv1alpha1 "istio.io/api/security/v1alpha1"
)

// Channel says how the control plane is reached.
type Channel struct {
	Address   string // HOST:PORT, or unix:PATH (plaintext)
	TokenFile string // read again at every call, because it is renewed under us; "" sends none
	RootCert  string // PEM file that verifies the server; "" is plaintext, for loopback and for servers that ask for no credential
	Name      string // server name in the certificate, "" for the host of Address
	ClusterID string
	// Own is the workload's certificate, nil before the first one. Where the token is over or gone it proves the identity in its place, so that a machine whose token nobody renews goes on.
	Own func() *SVID
	// Dial connects instead of the network, such as with the mark of the proxy's own traffic; nil is the network.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// Client is the CA over gRPC. A certificate is wanted a few times a day, so that there is a connection while it is asked for only: thousands of proxies would keep theirs for nothing.
type Client struct {
	channel Channel
	opts    []grpc.DialOption
}

// NewClient prepares a client; nothing is dialled before the first call. A channel that would send a token in plaintext to another machine is refused.
func NewClient(c Channel) (*Client, error) {
	creds, err := c.Credentials()
	if err != nil {
		return nil, err
	}
	opts := []grpc.DialOption{grpc.WithTransportCredentials(creds), grpc.WithNoProxy(), grpc.WithDisableServiceConfig()}
	if c.Dial != nil {
		opts = append(opts, grpc.WithContextDialer(c.Dial))
	}
	return &Client{channel: c, opts: opts}, nil
}

// Target is the address in gRPC's form. The proxy finds its control plane without gRPC's own proxy and service-config lookups.
func (c Channel) Target() string {
	if strings.HasPrefix(c.Address, "unix:") {
		return c.Address
	}
	return "dns:///" + c.Address
}

// Credentials are the transport's: TLS with RootCert, else plaintext, which is allowed on this machine only when a token travels over it.
func (c Channel) Credentials() (credentials.TransportCredentials, error) {
	if strings.HasPrefix(c.Address, "unix:") {
		return insecure.NewCredentials(), nil
	}
	if c.RootCert == "" {
		if c.TokenFile != "" && !loopback(c.Address) {
			return nil, fmt.Errorf("connect to %s: a token would travel in plaintext; give the server's root certificate (--root-cert) or a loopback address", c.Address)
		}
		return insecure.NewCredentials(), nil
	}
	pem, err := os.ReadFile(c.RootCert)
	if err != nil {
		return nil, fmt.Errorf("read the control plane's root certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read the control plane's root certificate: %s holds no PEM certificate", c.RootCert)
	}
	return credentials.NewTLS(&tls.Config{RootCAs: pool, ServerName: c.Name, MinVersion: tls.VersionTLS12, GetClientCertificate: c.Certificate}), nil
}

func loopback(address string) bool {
	return strings.HasPrefix(address, "127.") || strings.HasPrefix(address, "[::1]") || strings.HasPrefix(address, "localhost:")
}

// Token is the current bearer token, "" without a token file, and where the workload's certificate is shown instead.
func (c Channel) Token() (string, error) {
	if c.TokenFile == "" || c.Proof() != nil {
		return "", nil
	}
	b, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Proof is the certificate that proves the identity in place of the token; nil where the token is good, or there is no certificate that is.
func (c Channel) Proof() *SVID {
	if c.Own == nil || c.TokenFile == "" || c.RootCert == "" {
		return nil
	}
	now := time.Now()
	if b, err := os.ReadFile(c.TokenFile); err == nil && !over(strings.TrimSpace(string(b)), now) {
		return nil
	}
	if s := c.Own(); s != nil && now.Before(s.NotAfter) {
		return s
	}
	return nil
}

// Certificate is what is shown in a handshake: the proof, or nothing.
func (c Channel) Certificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if s := c.Proof(); s != nil {
		return &s.TLS, nil
	}
	return &tls.Certificate{}, nil
}

// over says whether a token's time is up, if it is one that says so (JSON Web Token, RFC 7519 section 4.1.4). Nobody trusts that word but the one who would send it.
func over(token string, now time.Time) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Expiry float64 `json:"exp"`
	}
	return err == nil && json.Unmarshal(raw, &claims) == nil && claims.Expiry > 0 && now.After(time.Unix(int64(claims.Expiry), 0))
}

// CreateCertificate calls istio.v1.auth.IstioCertificateService/CreateCertificate.
func (c *Client) CreateCertificate(ctx context.Context, csrPEM []byte, ttl time.Duration) ([]string, error) {
	token, err := c.channel.Token()
	if err != nil {
		return nil, err
	}
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	if c.channel.ClusterID != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "clusterid", c.channel.ClusterID)
	}
	conn, err := grpc.NewClient(c.channel.Target(), c.opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to the CA at %s: %w", c.channel.Address, err)
	}
	defer func() { _ = conn.Close() }()
	answer, err := securityv1alpha1.NewIstioCertificateServiceClient(conn).CreateCertificate(ctx, &securityv1alpha1.IstioCertificateRequest{
		Csr: string(csrPEM), ValidityDuration: int64(ttl / time.Second), Metadata: &structpb.Struct{},
	})
	if err != nil {
		return nil, fmt.Errorf("ask the CA at %s: %w", c.channel.Address, err)
	}
	return answer.GetCertChain(), nil
}
