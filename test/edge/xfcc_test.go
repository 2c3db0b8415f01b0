package edge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/test/pair"
)

// issue makes a certificate with everything that x-forwarded-client-cert can tell. It is its own authority.
func issue(t *testing.T, name string) (certFile, keyFile string, pairOf tls.Certificate) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	id, err := url.Parse("spiffe://cluster.local/ns/default/sa/" + name)
	must(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"a, \"quoted\" one"}}, DNSNames: []string{name + ".test", "*." + name + ".test"}, URIs: []*url.URL{id},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	must(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	must(t, err)
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(t.TempDir(), name)
		must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600))
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", raw), tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}
}

// TestClientCertificateHeader: every mode of x-forwarded-client-cert over mutual TLS, with what a client claims in one and in several fields.
func TestClientCertificateHeader(t *testing.T) {
	serverCert, serverKey, _ := issue(t, "server")
	clientCert, _, client := issue(t, "client")
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Join(r.Header.Values("X-Forwarded-Client-Cert"), ","))
	})
	transport := fmt.Sprintf(`      transport_socket:
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates: [{certificate_chain: {filename: %q}, private_key: {filename: %q}}]
            validation_context: {trusted_ca: {filename: %q}}`, serverCert, serverKey, clientCert)
	for _, mode := range []string{"SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"} {
		for name, details := range map[string]string{"": "{}", " all": "{subject: true, cert: true, chain: true, dns: true, uri: true}", " istio": "{subject: true, dns: true, uri: true}"} {
			t.Run(mode+name, func(t *testing.T) {
				f := file{manager: "forward_client_cert_details: " + mode + "\nset_current_client_cert_details: " + details, transport: transport}
				agree(t, f, app, func(t *testing.T, p *pair.Proxy, note func(name, answer string)) {
					for _, own := range []bool{true, false} {
						c := &tls.Config{InsecureSkipVerify: true}
						if own {
							c.Certificates = []tls.Certificate{client}
						}
						tr := &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}
						for _, claims := range [][]string{nil, {"By=a;URI=b"}, {"URI=b", "URI=c"}, {""}} {
							req, err := http.NewRequest("GET", "https://"+p.Address("front")+"/", nil)
							must(t, err)
							req.Header["X-Forwarded-Client-Cert"] = slices.Clone(claims)
							resp, err := tr.RoundTrip(req)
							must(t, err)
							note(fmt.Sprintf("certificate %t, claims %q", own, claims), fmt.Sprintf("%d %s", resp.StatusCode, body(t, resp)))
							_ = resp.Body.Close()
						}
					}
				})
			})
		}
	}
}
