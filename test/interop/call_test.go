package interop_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/test/lab"
	"github.com/heddle-mesh/heddle/test/lab/certs"
)

// transport dials from inside a host's namespace; names are asked of its proxy's DNS.
func (w *world) transport(x *exchange) *http.Transport {
	versions := &http.Protocols{}
	versions.SetHTTP1(!x.h2c)
	versions.SetUnencryptedHTTP2(x.h2c)
	return &http.Transport{
		Protocols: versions, DisableCompression: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // which certificate it is, is told by the server name
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			if x.dial != "" {
				host = x.dial
			}
			if net.ParseIP(host) == nil {
				if host, err = w.resolve(ctx, x.from, host); err != nil {
					return nil, err
				}
			}
			return w.hosts[x.from].Dial(ctx, "tcp", net.JoinHostPort(host, port))
		},
	}
}

// resolve asks a name server that does not exist: the capture leads to the proxy's DNS.
func (w *world) resolve(ctx context.Context, from, name string) (string, error) {
	r := net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return w.hosts[from].Dial(ctx, network, "10.78.255.53:53")
	}}
	var last error
	for range 20 {
		ips, err := r.LookupNetIP(ctx, "ip4", name+".")
		if err == nil && len(ips) > 0 {
			return ips[0].Unmap().String(), nil
		}
		last = err
		time.Sleep(50 * time.Millisecond)
	}
	return "", fmt.Errorf("look up %s: %w", name, last)
}

func (r *run) request(transport *http.Transport, x *exchange, n int) (*http.Response, string, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, x.method, x.url, strings.NewReader(x.body))
	if err != nil {
		return nil, "", err
	}
	for k, v := range x.header {
		if strings.EqualFold(k, "host") {
			req.Host = v[0]
			continue
		}
		req.Header[k] = v
	}
	if x.header.Get("x-echo-fail") != "" {
		req.Header.Set("x-echo-key", fmt.Sprintf("%s-%d-%d-%d", r.t.Name(), x.step, x.line, n))
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func sawOf(body string) *lab.Seen {
	var s lab.Seen
	if json.Unmarshal([]byte(body), &s) != nil || s.Endpoint == "" {
		return nil
	}
	return &s
}

// talk opens a connection, or takes the held one, and says what the server said first, if that is known. A server that says nothing waits for the client
// (or a proxy waits, to find out the protocol), so the client speaks, and its line must come back.
func (r *run) talk(x *exchange) (greeting string, err error) {
	c := r.held.conns[x.hold]
	if c == nil {
		u, err := url.Parse(x.url)
		if err != nil {
			return "", err
		}
		if c, err = r.transport(x).DialContext(r.t.Context(), "tcp", u.Host); err != nil {
			return "", err
		}
		if u.Scheme == "tls" {
			c = tls.Client(c, &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: true})
		}
		patience := 500 * time.Millisecond
		if x.tcp == "greeted" {
			patience = 10 * time.Second
		}
		if greeting, err = hear(c, "\n", patience); err != nil && (x.tcp == "greeted" || !errors.Is(err, os.ErrDeadlineExceeded)) {
			c.Close()
			return greeting, err
		}
	}
	if x.hold == "" {
		defer c.Close()
	} else {
		r.held.conns[x.hold] = c
	}
	if _, err := io.WriteString(c, "ping\n"); err != nil {
		return greeting, err
	}
	more, err := hear(c, "ping\n", 5*time.Second)
	return greeting + strings.TrimSuffix(more, "ping\n"), err
}

// udp sends datagrams, each from a socket of its own: "open" when one is answered, with the name of who did.
func (r *run) udp(x *exchange) outcome {
	r.t.Helper()
	u, err := url.Parse(x.url)
	must(r.t, err)
	out, seen := outcome{Body: "open"}, map[string]int{}
	for range x.repeat {
		name, err := r.datagram(x, net.JoinHostPort(cmp.Or(x.dial, u.Hostname()), u.Port()))
		if err != nil {
			out.Body = "closed"
			continue
		}
		seen[name]++
	}
	if out.Body != x.tcp {
		r.t.Errorf("%s: %s is %s, want %s", x, x.url, out.Body, x.tcp)
	}
	out.Endpoints = slices.Sorted(maps.Keys(seen))
	r.checkSpread(x, out.Endpoints, seen)
	if x.endpoints == nil {
		out.Endpoints = nil
	}
	return out
}

func (r *run) datagram(x *exchange, to string) (string, error) {
	c, err := r.hosts[x.from].Dial(r.t.Context(), "udp", to)
	if err != nil {
		return "", err
	}
	defer c.Close()
	patience := 5 * time.Second
	if x.tcp == "closed" {
		patience = 300 * time.Millisecond
	}
	if _, err := io.WriteString(c, "ping"); err != nil {
		return "", err
	}
	c.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 100)
	n, err := c.Read(b)
	return string(b[:n]), err
}

// hear reads until an end.
func hear(c net.Conn, end string, patience time.Duration) (string, error) {
	c.SetReadDeadline(time.Now().Add(patience))
	var text []byte
	for buf := make([]byte, 100); ; {
		n, err := c.Read(buf)
		text = append(text, buf[:n]...)
		if err != nil || strings.HasSuffix(string(text), end) {
			return string(text), err
		}
	}
}

// certificate is a self-signed pair for *.example.com, chain and key as base64 of PEM.
func certificate(t *testing.T) (p pair) {
	t.Helper()
	c := certs.Issue(t, x509.Certificate{DNSNames: []string{"*.example.com"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, nil)
	p.cert, p.key = c.Base64(t)
	dir := t.TempDir()
	p.certFile, p.keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, text := range map[string]string{p.certFile: p.cert, p.keyFile: p.key} {
		b, err := base64.StdEncoding.DecodeString(text)
		must(t, err)
		must(t, os.WriteFile(file, b, 0o600))
		if block, _ := pem.Decode(b); file == p.certFile {
			leaf, err := x509.ParseCertificate(block.Bytes)
			must(t, err)
			whole, key := sha256.Sum256(leaf.Raw), sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
			p.hash, p.spki = hex.EncodeToString(whole[:]), base64.StdEncoding.EncodeToString(key[:])
		}
	}
	return p
}

// pair is a certificate of *.example.com, which vouches for itself, and its key: in base64, as files, and as hashes of the certificate and of its public key.
type pair struct{ cert, key, certFile, keyFile, hash, spki string }

// withCertificate fills the pair into objects.
func withCertificate(p pair, mesh string) string {
	return strings.NewReplacer("${TLS_CERT}", p.cert, "${TLS_KEY}", p.key, "${TLS_CERT_FILE}", p.certFile, "${TLS_KEY_FILE}", p.keyFile, "${TLS_HASH}", p.hash, "${TLS_SPKI}", p.spki).Replace(mesh)
}
