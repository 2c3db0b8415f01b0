package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/heddle-mesh/heddle/xds"
)

// TestCertificatesChangeUnderLoad: while a listener's certificate changes again and again, no request fails, on connections that are new and on ones that stay, and in the end
// new connections are shown the last one.
func TestCertificatesChangeUnderLoad(t *testing.T) {
	p := start(t, bootstrap("", cluster(app(t).Listener.Addr().String())))
	p.ready(t)
	p.live.Follow(nobody{}, true, xds.Listener, xds.Secret)
	var serial int64
	swap := func() {
		serial++
		x, err := xds.New(xds.Name{TypeURL: xds.Secret, Name: "front"}, selfSigned(t, serial))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.live.OnResponse(xds.Secret, []*xds.Resource{x}, nil); err != nil {
			t.Fatal(err)
		}
	}
	at := free(t)
	m := &listenerv3.Listener{}
	host, port, _ := net.SplitHostPort(at)
	if err := protojson.Unmarshal([]byte(fmt.Sprintf(`{"name": "front", "address": {"socket_address": {"address": %q, "port_value": %s}}, "filter_chains": [{"filters": [%s], "transport_socket": {"name": "tls", "typed_config":
	 {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "front", "sds_config": {"ads": {}}}]}}}}]}`,
		host, port, fmt.Sprintf(manager, ""))), m); err != nil {
		t.Fatal(err)
	}
	x, err := xds.New(xds.Name{TypeURL: xds.Listener, Name: "front"}, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.live.OnResponse(xds.Listener, []*xds.Resource{x}, nil); err != nil {
		t.Fatal(err)
	}
	swap()

	var good atomic.Int64
	var seen atomic.Int64 // the highest serial number
	note := func(s tls.ConnectionState) error {
		n := s.PeerCertificates[0].SerialNumber.Int64()
		for old := seen.Load(); n > old && !seen.CompareAndSwap(old, n); old = seen.Load() {
		}
		return nil
	}
	end := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0, TLSClientConfig: &tls.Config{
				InsecureSkipVerify: true, VerifyConnection: note, ClientSessionCache: tls.NewLRUClientSessionCache(4),
			}}}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-end:
					return
				default:
				}
				if code, _, err := get(client, "https://"+at+"/x"); err != nil || code != 200 {
					t.Errorf("status %d, %v", code, err)
					return
				}
				good.Add(1)
			}
		})
	}
	for range 50 {
		before := good.Load()
		swap()
		for good.Load() < before+4 && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
	}
	last := serial
	for end := time.Now().Add(10 * time.Second); seen.Load() != last && time.Now().Before(end) && !t.Failed(); {
		time.Sleep(time.Millisecond)
	}
	close(end)
	wg.Wait()
	if seen.Load() != last {
		t.Errorf("certificate %d is shown, want %d", seen.Load(), last)
	}
	t.Logf("%d requests over %d certificates", good.Load(), last)
}

// selfSigned is a secret with a certificate of a serial number.
func selfSigned(t *testing.T, serial int64) *tlsv3.Secret {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	inline := func(kind string, b []byte) *corev3.DataSource {
		return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})}}
	}
	return &tlsv3.Secret{Name: "front", Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: inline("CERTIFICATE", der), PrivateKey: inline("PRIVATE KEY", private)}}}
}
