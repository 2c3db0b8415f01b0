package edge

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/test/lab/certs"
	"github.com/heddle-mesh/heddle/test/pair"
)

// issue makes a certificate with everything that x-forwarded-client-cert can tell. It is its own authority.
func issue(t *testing.T, name string) (certFile, keyFile string, pairOf tls.Certificate) {
	t.Helper()
	id, err := url.Parse("spiffe://cluster.local/ns/default/sa/" + name)
	must(t, err)
	p := certs.Issue(t, x509.Certificate{Subject: pkix.Name{CommonName: name, Organization: []string{"a, \"quoted\" one"}}, DNSNames: []string{name + ".test", "*." + name + ".test"}, URIs: []*url.URL{id}}, nil)
	certFile, keyFile = p.Write(t, t.TempDir(), name)
	return certFile, keyFile, p.TLS()
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
