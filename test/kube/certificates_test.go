package kube

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// certificates swaps the certificate of a gateway five times while clients connect anew for each request: every handshake gets one of them, no request fails, and the newest is
// there in the end.
func certificates(t *testing.T) {
	roots := x509.NewCertPool()
	const swaps = 5
	pairs := make([][2]string, swaps+1) // made before, so that the clients trust all of them from the start
	for i := range pairs {
		pairs[i][0], pairs[i][1] = certificate(t, int64(i+1), roots)
	}
	apply(t, secret(pairs[0]))
	apply(t, `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop-tls, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - hosts: [shop.example]
    port: {name: https, number: 443, protocol: HTTPS}
    tls: {mode: SIMPLE, credentialName: shop-cert}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web-tls, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [shop-tls]
  http: [{route: [{destination: {host: web}}]}]
`)
	address := net.JoinHostPort(k(t, "-n", "istio-system", "get", "service", "heddle-ingressgateway", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}"), "443")
	ask := func() (int64, error) {
		transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "shop.example"}}
		defer transport.CloseIdleConnections()
		r, err := http.NewRequest(http.MethodGet, "https://"+address+"/", nil)
		if err != nil {
			return 0, err
		}
		r.Host = "shop.example"
		answer, err := (&http.Client{Transport: transport, Timeout: 5 * time.Second}).Do(r)
		if err != nil {
			return 0, err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("status %d", answer.StatusCode)
		}
		return answer.TLS.PeerCertificates[0].SerialNumber.Int64(), nil
	}
	eventually(t, "the first certificate", func() error { _, err := ask(); return err })
	var asked, failed, newest atomic.Int64
	var why atomic.Value
	end := make(chan struct{})
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				serial, err := ask()
				if asked.Add(1); err != nil {
					failed.Add(1)
					why.Store(err.Error())
				}
				newest.Store(serial)
			}
		})
	}
	for i, p := range pairs[1:] {
		apply(t, secret(p))
		eventually(t, fmt.Sprintf("certificate %d", i+2), func() error {
			if got := newest.Load(); got != int64(i+2) {
				return fmt.Errorf("the gateway shows certificate %d", got)
			}
			return nil
		})
	}
	close(end)
	clients.Wait()
	t.Logf("%d requests, each on a connection of its own, during %d swaps", asked.Load(), swaps)
	if failed.Load() > 0 {
		t.Errorf("%d of %d requests failed, such as: %v", failed.Load(), asked.Load(), why.Load())
	}
	k(t, "-n", "shop", "delete", "gateways.networking.istio.io/shop-tls", "virtualservice/web-tls")
	k(t, "-n", "istio-system", "delete", "secret/shop-cert")
}

func secret(pair [2]string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: shop-cert, namespace: istio-system}\ntype: kubernetes.io/tls\ndata: {tls.crt: %s, tls.key: %s}\n", pair[0], pair[1])
}

// certificate makes a self-signed one for shop.example with a serial number, and its key, as a Secret has them.
func certificate(t *testing.T, serial int64, roots *x509.CertPool) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "shop.example"}, DNSNames: []string{"shop.example"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	roots.AppendCertsFromPEM(text)
	return base64.StdEncoding.EncodeToString(text), base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}
