package kube

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/test/lab/certs"
)

// certificates swaps the certificate of a gateway five times while clients connect anew for each request: every handshake gets one of them, no request fails, and the newest is
// there in the end.
func certificates(t *testing.T) {
	roots := x509.NewCertPool()
	const swaps = 5
	pairs := make([][2]string, swaps+1) // made before, so that the clients trust all of them from the start
	for i := range pairs {
		p := certs.Issue(t, x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), DNSNames: []string{"shop.example"}}, nil)
		roots.AddCert(p.Cert)
		pairs[i][0], pairs[i][1] = p.Base64(t)
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
