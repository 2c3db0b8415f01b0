package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"strconv"
	"strings"
	"time"
)

// runTLS measures two hops: a proxy that takes requests in clear and sends them on by mutual TLS, and its like that takes them and asks the backend in clear. Keys are
// ECDSA P-256; both hops count together.
func (b *bench) runTLS() error {
	if err := b.certificates(); err != nil {
		return err
	}
	b.running = nil
	for _, pair := range b.pairs() {
		if b.skips(pair[1].name) {
			continue
		}
		back := pair[0]
		file := b.path("back-" + back.name + back.ext)
		if err := os.WriteFile(file, []byte(back.config(b)), 0o600); err != nil {
			return err
		}
		pid, err := b.launch(back.name, back.path, back.args(b, file)...)
		if err != nil {
			return err
		}
		if err := b.startProxy(pair[1]); err != nil {
			return err
		}
		b.running[len(b.running)-1].second = pid
	}
	for _, size := range []int{1 << 10, 16 << 10} {
		b.title("HTTP/1.1 over two hops of mutual TLS, %d KiB body, 64 connections", size>>10)
		if err := b.measureAll(tunnelBases, func(r running) (int, error) { return b.wrk(r, 64, "/"+strconv.Itoa(size)) }); err != nil {
			return err
		}
	}
	return nil
}

// tunnelBases are what others are compared with where HAProxy sets the mark.
var tunnelBases = []string{"haproxy", "envoy", "envoy+mesh"}

// pairs are (back, front) of each program.
func (b *bench) pairs() [][2]proxy {
	envoy := func(front, back int, path string, mesh bool, args func(b *bench, file string) []string) [2]proxy {
		name, features, identity := path[strings.LastIndexByte(path, '/')+1:], strings.Clone, strings.Clone
		if mesh {
			name, features, identity = name+"+mesh", meshFeatures, identified
		}
		return [2]proxy{
			{name: name, path: path, ext: ".yaml", port: back, args: args, config: func(b *bench) string {
				return b.terminates(identity(features(envoyConfig(back, back+20))))
			}},
			{name: name, path: path, ext: "-tls.yaml", port: front, admin: front + 20, args: args, config: func(b *bench) string {
				c := strings.ReplaceAll(features(envoyConfig(front, front+20)), "port_value: "+strconv.Itoa(backendPort), "port_value: "+strconv.Itoa(back))
				return strings.Replace(c, "    connect_timeout: 5s", fmt.Sprintf(`    connect_timeout: 5s
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context: %s`, b.tlsContext()), 1)
			}},
		}
	}
	nginx := func(b *bench, file string) []string { return []string{"-p", b.dir, "-c", file} }
	haproxy := func(file string) []string { return []string{"-db", "-f", file} }
	return [][2]proxy{
		envoy(21841, 21842, heddlePath, false, heddleArgs),
		envoy(22041, 22042, heddlePath, true, heddleArgs),
		{
			{name: "haproxy", path: find("haproxy"), ext: ".cfg", args: func(_ *bench, file string) []string { return haproxy(file) }, config: func(b *bench) string {
				return b.haproxyTerminates(21844)
			}},
			{name: "haproxy", path: find("haproxy"), ext: "-tls.cfg", port: 21843, args: func(_ *bench, file string) []string { return haproxy(file) }, config: func(b *bench) string {
				c := strings.Replace(haproxyConfig(b), "127.0.0.1:21803", "127.0.0.1:21843", 1)
				return strings.Replace(c, fmt.Sprintf("127.0.0.1:%d", backendPort), fmt.Sprintf("127.0.0.1:21844 ssl crt %s ca-file %s verify required", b.path("both.pem"), b.path("ca.pem")), 1)
			}},
		},
		{
			{name: "nginx", path: find("nginx"), ext: ".conf", args: nginx, config: func(b *bench) string {
				return b.nginxTerminates(21848)
			}},
			{name: "nginx", path: find("nginx"), ext: "-tls.conf", port: 21847, args: nginx, config: func(b *bench) string {
				c := strings.NewReplacer("21802", "21847", strconv.Itoa(backendPort), "21848", "nginx.pid", "nginx-front.pid").Replace(nginxConfig(b))
				return strings.Replace(c, "proxy_pass http://backend;", fmt.Sprintf("proxy_pass https://backend; proxy_ssl_certificate %s; proxy_ssl_certificate_key %s; proxy_ssl_trusted_certificate %s; proxy_ssl_verify on; proxy_ssl_name leaf;",
					b.path("cert.pem"), b.path("key.pem"), b.path("ca.pem")), 1)
			}},
		},
		envoy(21845, 21846, envoyPath, false, envoyArgs),
		envoy(22045, 22046, envoyPath, true, envoyArgs),
	}
}

// terminates lets a listener of Envoy's ask for a certificate.
func (b *bench) terminates(config string) string {
	return strings.Replace(config, "    - filters:", fmt.Sprintf(`    - transport_socket:
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context: %s
      filters:`, b.tlsContext()), 1)
}

// nginxTerminates and haproxyTerminates do so for theirs.
func (b *bench) nginxTerminates(port int) string {
	return strings.Replace(nginxConfig(b), "listen 127.0.0.1:21802;", fmt.Sprintf("listen 127.0.0.1:%d ssl; ssl_certificate %s; ssl_certificate_key %s; ssl_client_certificate %s; ssl_verify_client on;",
		port, b.path("cert.pem"), b.path("key.pem"), b.path("ca.pem")), 1)
}

func (b *bench) haproxyTerminates(port int) string {
	return strings.Replace(haproxyConfig(b), "bind 127.0.0.1:21803", fmt.Sprintf("bind 127.0.0.1:%d ssl crt %s ca-file %s verify required", port, b.path("both.pem"), b.path("ca.pem")), 1)
}

func (b *bench) tlsContext() string {
	return fmt.Sprintf(`{tls_certificates: [{certificate_chain: {filename: %q}, private_key: {filename: %q}}], validation_context: {trusted_ca: {filename: %q}}}`,
		b.path("cert.pem"), b.path("key.pem"), b.path("ca.pem"))
}

// certificates writes an authority and one certificate for both ends.
func (b *bench) certificates() error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	ca, err := x509.CreateCertificate(rand.Reader, template, template, caKey.Public(), caKey)
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: template.NotBefore, NotAfter: template.NotAfter, DNSNames: []string{"leaf"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	cert, err := x509.CreateCertificate(rand.Reader, leaf, template, key.Public(), caKey)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for name, content := range map[string]string{"ca.pem": text("CERTIFICATE", ca), "cert.pem": text("CERTIFICATE", cert), "key.pem": text("PRIVATE KEY", private),
		"both.pem": text("CERTIFICATE", cert) + text("PRIVATE KEY", private)} {
		if err := os.WriteFile(b.path(name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}
