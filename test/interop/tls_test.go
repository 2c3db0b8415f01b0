package interop_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/test/lab/certs"
)

// tlsFile has a listener for each setting of TLS; behind each is a server that says hello.
const tlsFile = `
node: {id: t, cluster: t}
static_resources:
  listeners:
  - {name: mutual, address: {socket_address: {address: 127.0.0.1, port_value: ${MUTUAL}}}, filter_chains: [{filters: &hello [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: hello}}],
     transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, require_client_certificate: true, common_tls_context: {tls_certificates: &own [{certificate_chain: {filename: ${DIR}/server.pem}, private_key: {filename: ${DIR}/server.key}}],
       validation_context: {trusted_ca: {filename: ${DIR}/ca.pem}, crl: {filename: ${DIR}/crl.pem}, match_typed_subject_alt_names: [{san_type: DNS, matcher: {suffix: .client.test}}]}}}}}]}
  - {name: optional, address: {socket_address: {address: 127.0.0.1, port_value: ${OPTIONAL}}}, filter_chains: [{filters: *hello,
     transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, require_client_certificate: false, common_tls_context: {tls_certificates: *own, validation_context: {trusted_ca: {filename: ${DIR}/ca.pem}}}}}}]}
  - {name: newest, address: {socket_address: {address: 127.0.0.1, port_value: ${NEWEST}}}, filter_chains: [{filters: *hello,
     transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {tls_certificates: *own, tls_params: {tls_minimum_protocol_version: TLSv1_3, ecdh_curves: [P-384]}}}}}]}
  - {name: older, address: {socket_address: {address: 127.0.0.1, port_value: ${OLDER}}}, filter_chains: [{filters: *hello,
     transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {tls_certificates: *own, tls_params: {tls_maximum_protocol_version: TLSv1_2, cipher_suites: ["[ECDHE-ECDSA-AES256-GCM-SHA384|ECDHE-ECDSA-CHACHA20-POLY1305]"]}}}}}]}
  - {name: fresh, address: {socket_address: {address: 127.0.0.1, port_value: ${FRESH}}}, filter_chains: [{filters: *hello,
     transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, disable_stateless_session_resumption: true, disable_stateful_session_resumption: true, common_tls_context: {tls_certificates: *own}}}}]}
  clusters:
  - {name: hello, type: STATIC, load_assignment: {cluster_name: hello, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${HELLO}}}}}]}]}}
`

// pki is an authority in a folder: ca.pem, server.pem and server.key, crl.pem, which revokes number 7, and clients by number.
type pki struct {
	*certs.Pair
	dir     string
	clients map[int64]tls.Certificate
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	p := &pki{Pair: certs.Issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "ca"}, SubjectKeyId: []byte{1}}, nil), dir: t.TempDir(), clients: map[int64]tls.Certificate{}}
	p.Write(t, p.dir, "ca")
	p.issue(t, 2, "server", "server.test")
	for n, name := range map[int64]string{6: "six.client.test", 7: "seven.client.test", 8: "eight.other.test"} {
		p.clients[n] = p.issue(t, n, fmt.Sprint("client", n), name)
	}
	crl, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(7), RevocationTime: time.Now()}}}, p.Cert, p.Key)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(p.dir, "crl.pem"), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: crl}), 0o600))
	return p
}

func (p *pki) issue(t *testing.T, serial int64, file, name string) tls.Certificate {
	t.Helper()
	c := certs.Issue(t, x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}, p.Pair)
	c.Write(t, p.dir, file)
	return c.TLS()
}

// TestTLS: what a client gets from each setting, and what is counted, on both data planes; then the same from OpenSSL.
func TestTLS(t *testing.T) {
	ca, other := newPKI(t), newPKI(t)
	hello := listenBackend(t, func(c net.Conn) { io.WriteString(c, "hello") })
	onFiles(t, tlsFile, map[string]string{"DIR": ca.dir, "HELLO": hello}, func(p *filed) (out []string) {
		roots := x509.NewCertPool()
		roots.AddCert(ca.Cert)
		ask := func(to, what string, edit func(*tls.Config)) {
			c := &tls.Config{RootCAs: roots, ServerName: "server.test", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			if edit != nil {
				edit(c)
			}
			out = append(out, fmt.Sprintf("%s, %s: %s; again: %s", to, what, greeted(p.at(to), c), greeted(p.at(to), c)))
		}
		with := func(c tls.Certificate) func(*tls.Config) {
			return func(t *tls.Config) { t.Certificates = []tls.Certificate{c} }
		}
		ask("MUTUAL", "a good client", with(ca.clients[6]))
		ask("MUTUAL", "a revoked client", with(ca.clients[7]))
		ask("MUTUAL", "a client of another name", with(ca.clients[8]))
		ask("MUTUAL", "a client of another authority", with(other.clients[6]))
		ask("MUTUAL", "no certificate", nil)
		ask("OPTIONAL", "a good client", with(ca.clients[7]))
		ask("OPTIONAL", "a client of another authority", with(other.clients[6]))
		ask("OPTIONAL", "no certificate", nil)
		ask("NEWEST", "TLS 1.3", func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP384} })
		ask("NEWEST", "no common curve", func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} })
		ask("NEWEST", "TLS 1.2 alone", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
		ask("OLDER", "anything", func(c *tls.Config) {
			c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
		})
		ask("OLDER", "no common suite", func(c *tls.Config) { c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256} })
		ask("FRESH", "who wants to resume", nil)
		for _, name := range []string{".ssl.handshake", ".ssl.session_reused", ".ssl.no_certificate", ".ssl.fail_verify"} {
			out = append(out, p.stats(name)...)
		}
		return append(out, p.openssl(ca)...)
	})
}

// greeted says what was agreed on with a server that says hello, or that there was none.
func greeted(at string, c *tls.Config) string {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: c}
	conn, err := d.Dial("tcp", at)
	if err != nil {
		return "refused"
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if b, err := io.ReadAll(conn); err != nil || string(b) != "hello" {
		return "refused"
	}
	s := conn.(*tls.Conn).ConnectionState()
	text := fmt.Sprintf("%s, resumed %v", tls.VersionName(s.Version), s.DidResume)
	if s.Version < tls.VersionTLS13 {
		text += ", " + tls.CipherSuiteName(s.CipherSuite)
	}
	return text
}

// openssl asks with another implementation, where it is installed.
func (p *filed) openssl(ca *pki) (out []string) {
	if _, err := exec.LookPath("openssl"); err != nil {
		p.t.Log("openssl is not installed")
		return nil
	}
	for _, args := range [][]string{
		{p.at("MUTUAL"), "-cert", ca.dir + "/client6.pem", "-key", ca.dir + "/client6.key", "-tls1_2"}, {p.at("MUTUAL"), "-cert", ca.dir + "/client7.pem", "-key", ca.dir + "/client7.key", "-tls1_2"},
		{p.at("NEWEST"), "-tls1_2"}, {p.at("NEWEST"), "-tls1_3", "-groups", "P-384"}, {p.at("OLDER"), "-tls1_2"}, {p.at("OLDER"), "-tls1_1"}, {p.at("OPTIONAL"), "-tls1_1"},
	} {
		cmd := exec.Command("openssl", append([]string{"s_client", "-servername", "server.test", "-CAfile", ca.dir + "/ca.pem", "-verify_return_error", "-brief", "-ign_eof", "-connect"}, args...)...)
		text, err := cmd.CombinedOutput()
		said := "refused"
		if err == nil && strings.Contains(string(text), "hello") {
			said = "hello"
			for line := range strings.Lines(string(text)) {
				if strings.HasPrefix(line, "Protocol version") {
					said += ", " + strings.TrimSpace(line)
				}
			}
		}
		out = append(out, "openssl "+strings.Join(args[1:], " ")+": "+said)
	}
	return out
}
