package interop_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// hboneFile has both ends of HBONE: TCP that goes out as CONNECT over HTTP/2 and mutual TLS (OUT; LOCAL to where the client wanted to go, which a PROXY header says here; BAD with
// a certificate that the rules refuse; DEAD to where nobody listens), and the end of such tunnels (IN), which dials what :authority names. PLAIN is the same over HTTP/1.1.
const hboneFile = `
node: {id: t, cluster: t}
static_resources:
  listeners:
  - {name: out, address: {socket_address: {address: 127.0.0.1, port_value: ${OUT}}}, filter_chains: [{filters: [{name: t, typed_config: &tcp {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: hbone, tunneling_config: {hostname: "127.0.0.1:${APP}"}}}]}]}
  - {name: local, address: {socket_address: {address: 127.0.0.1, port_value: ${LOCAL}}}, listener_filters: [{name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol}}],
     filter_chains: [{filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: hbone, tunneling_config: {hostname: "%DOWNSTREAM_LOCAL_ADDRESS%"}}}]}]}
  - {name: bad, address: {socket_address: {address: 127.0.0.1, port_value: ${BAD}}}, filter_chains: [{filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: stranger, tunneling_config: {hostname: "127.0.0.1:${APP}"}}}]}]}
  - {name: dead, address: {socket_address: {address: 127.0.0.1, port_value: ${DEAD}}}, filter_chains: [{filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: hbone, tunneling_config: {hostname: "127.0.0.1:1"}}}]}]}
  - {name: plain, address: {socket_address: {address: 127.0.0.1, port_value: ${PLAIN}}}, filter_chains: [{filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: plain, tunneling_config: {hostname: "127.0.0.1:${APP}"}}}]}]}
  - {name: in, address: {socket_address: {address: 127.0.0.1, port_value: ${IN}}}, filter_chains: [{filters: [{name: h, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: in,
     http2_protocol_options: {allow_connect: true}, upgrade_configs: [{upgrade_type: CONNECT}], http_filters: [{name: rbac, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC, rules: {policies: {six: {permissions: [{any: true}], principals: [{authenticated: {principal_name: {exact: six.client.test}}}]}}}}},
       &router {name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}], route_config: &connect {name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {connect_matcher: {}}, route: {cluster: named, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}}]}]}}}],
     transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, require_client_certificate: true, common_tls_context: {alpn_protocols: [h2], tls_certificates: [{certificate_chain: {filename: "${DIR}/server.pem"}, private_key: {filename: "${DIR}/server.key"}}],
       validation_context: {trusted_ca: {filename: "${DIR}/ca.pem"}}}}}}]}
  - {name: in1, address: {socket_address: {address: 127.0.0.1, port_value: ${IN1}}}, filter_chains: [{filters: [{name: h, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: in1, upgrade_configs: [{upgrade_type: CONNECT}], http_filters: [*router], route_config: *connect}}]}]}
  clusters:
  - {name: hbone, type: STATIC, load_assignment: &peer {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${PEER}}}}}]}]}, typed_extension_protocol_options: &h2 {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {
     "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}, transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: {alpn_protocols: [h2],
       tls_certificates: [{certificate_chain: {filename: "${DIR}/client6.pem"}, private_key: {filename: "${DIR}/client6.key"}}], validation_context: &check {trusted_ca: {filename: "${DIR}/ca.pem"}, match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: server.test}}]}}}}}
  - {name: stranger, type: STATIC, load_assignment: *peer, typed_extension_protocol_options: *h2, transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: {alpn_protocols: [h2],
       tls_certificates: [{certificate_chain: {filename: "${DIR}/client7.pem"}, private_key: {filename: "${DIR}/client7.key"}}], validation_context: *check}}}}
  - {name: plain, type: STATIC, load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${IN1}}}}}]}]}}
  - {name: named, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, original_dst_lb_config: {use_http_header: true, http_header_name: ":authority"}}
`

// TestHBONE sends TCP through tunnels: between two of a kind, and each data plane with the other at the far end.
func TestHBONE(t *testing.T) {
	ca := newPKI(t)
	app := listenBackend(t, func(c net.Conn) {
		c.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(c, "hello ") // before the client says a word
		io.Copy(c, c)
		io.WriteString(c, " bye") // after it has said its last
	})
	for _, far := range []string{"the same", "the other"} {
		t.Run(far, func(t *testing.T) {
			given := map[string]string{"DIR": ca.dir, "APP": app, "PEER": "${IN}"}
			config := strings.ReplaceAll(hboneFile, "${PEER}", "${IN}")
			if far == "the other" {
				config = strings.ReplaceAll(hboneFile, "${PEER}", "${FAR}")
			}
			onFiles(t, config, given, func(p *filed) (out []string) {
				if far == "the other" {
					p.beside(strings.NewReplacer("${DIR}", ca.dir, "${APP}", app, "${PEER}", "1").Replace(hboneFile))
				}
				for _, to := range []string{"OUT", "BAD", "DEAD"} {
					out = append(out, fmt.Sprintf("%s: %q", to, said(p.at(to), "ping", true)))
				}
				out = append(out, fmt.Sprintf("LOCAL: %q", said(p.at("LOCAL"), "PROXY TCP4 10.0.0.1 127.0.0.1 80 "+app+"\r\nping", false)))
				out = append(out, fmt.Sprintf("PLAIN: %q", said(p.at("PLAIN"), "ping", false))) // a tunnel of HTTP/1.1 has no half close
				var wg sync.WaitGroup
				for i := range 30 {
					wg.Go(func() { p.bulk(uint64(i), 256<<10) })
				}
				for range 20 {
					wg.Go(func() { p.breakOff() })
				}
				p.bulk(99, 8<<20)
				wg.Wait()
				p.until("nothing is left of the tunnels", func() bool {
					return len(p.stats("cluster.hbone.upstream_rq_active")) == 0 && len(p.stats("cluster.named.upstream_cx_active")) == 0
				})
				return append(out, p.stats("cluster.hbone.upstream_cx_total")...)
			})
		})
	}
}

// beside starts the other data plane with a file whose port IN is this one's FAR, and other ports of its own.
func (p *filed) beside(config string) {
	p.t.Helper()
	other := planes[0]
	if p.plane == other {
		other = planes[1]
	}
	q := &filed{t: p.t, plane: other, dir: p.t.TempDir(), log: &buffer{}, ports: map[string]string{"IN": p.ports["FAR"]}}
	q.start(port.ReplaceAllStringFunc(config, func(name string) string {
		name = port.FindStringSubmatch(name)[1]
		if q.ports[name] == "" {
			l, err := net.Listen("tcp", loopbacks)
			must(p.t, err)
			defer l.Close()
			_, q.ports[name], _ = net.SplitHostPort(l.Addr().String())
		}
		return q.ports[name]
	}))
}

// said is what comes back when a client says something: all of it when it then ends, else the first ten bytes.
func said(at, text string, ends bool) string {
	c, err := net.Dial("tcp", at)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, text)
	from := io.Reader(c)
	if ends {
		c.(*net.TCPConn).CloseWrite()
	} else {
		from = io.LimitReader(c, 10)
	}
	b, _ := io.ReadAll(from)
	if len(b) == 0 {
		return "closed"
	}
	return string(b)
}

// bulk sends random bytes through a tunnel, and wants the same back.
func (p *filed) bulk(seed uint64, n int) {
	data := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	c, err := net.Dial("tcp", p.at("OUT"))
	if err != nil {
		p.t.Error(err)
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	go func() {
		c.Write(data)
		c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	want := append(append([]byte("hello "), data...), " bye"...)
	if err != nil || !bytes.Equal(got, want) {
		p.t.Errorf("%d bytes of %d came back, digest %x, %v", len(got), len(want), sha256.Sum256(got), err)
	}
}

// breakOff leaves a tunnel in the middle of it, with a reset.
func (p *filed) breakOff() {
	c, err := net.Dial("tcp", p.at("OUT"))
	if err != nil {
		p.t.Error(err)
		return
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.ReadFull(c, make([]byte, 3))
	c.Write(make([]byte, 100<<10))
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}
