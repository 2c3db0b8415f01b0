package interop_test

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// udpFile has a UDP listener of two endpoints, one where sessions keep to an endpoint by the source address, one for all addresses and short sessions, and ones without an endpoint.
const udpFile = `
node: {id: t, cluster: t}
static_resources:
  listeners:
  - {name: plain, address: {socket_address: {protocol: UDP, address: 127.0.0.1, port_value: ${PLAIN}}}, listener_filters: [{name: u, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig, stat_prefix: plain,
     matcher: {on_no_match: {action: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route, cluster: two}}}}}}]}
  - {name: sticky, address: {socket_address: {protocol: UDP, address: 127.0.0.1, port_value: ${STICKY}}}, listener_filters: [{name: u, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig, stat_prefix: sticky,
     hash_policies: [{source_ip: true}], matcher: {on_no_match: {action: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route, cluster: ring}}}}}}]}
  - {name: short, address: {socket_address: {protocol: UDP, address: 0.0.0.0, port_value: ${SHORT}}}, listener_filters: [{name: u, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig, stat_prefix: short,
     idle_timeout: 0.3s, matcher: {on_no_match: {action: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route, cluster: one}}}}}}]}
  - {name: six, address: {socket_address: {protocol: UDP, address: "::", port_value: ${SIX}, ipv4_compat: true}}, udp_listener_config: {downstream_socket_config: {max_rx_datagram_size: 9000}}, listener_filters: [{name: u, typed_config: {
     "@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig, stat_prefix: six, upstream_socket_config: {max_rx_datagram_size: 9000},
     matcher: {on_no_match: {action: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route, cluster: one}}}}}}]}
  - {name: nowhere, address: {socket_address: {protocol: UDP, address: 127.0.0.1, port_value: ${NOWHERE}}}, listener_filters: [{name: u, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig, stat_prefix: nowhere,
     matcher: {on_no_match: {action: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route, cluster: unknown}}}}}}]}
  - {name: few, address: {socket_address: {protocol: UDP, address: 127.0.0.1, port_value: ${FEW}}}, listener_filters: [{name: u, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig, stat_prefix: few,
     matcher: {on_no_match: {action: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route, cluster: few}}}}}}]}
  clusters:
  - {name: two, type: STATIC, load_assignment: &both {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${A}}}}}, {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${B}}}}}]}]}}
  - {name: ring, type: STATIC, lb_policy: RING_HASH, load_assignment: *both}
  - {name: one, type: STATIC, load_assignment: &only {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${A}}}}}]}]}}
  - {name: few, type: STATIC, circuit_breakers: {thresholds: [{max_connections: 2}]}, load_assignment: *only}
`

// TestUDP sends the same datagrams to both data planes: who answers, from where, and what is counted.
func TestUDP(t *testing.T) {
	a, b := answering(t, "a"), answering(t, "b")
	onFiles(t, udpFile, map[string]string{"A": a, "B": b}, func(p *filed) (out []string) {
		note := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
		var plain []string
		for range 8 {
			c := p.datagrams("127.0.0.1", "127.0.0.1:"+p.ports["PLAIN"])
			first := c.ask("x")
			plain = append(plain, first)
			if again := c.ask("yy"); again[:1] != first[:1] {
				p.t.Errorf("a session went from %s to %s", first, again)
			}
		}
		slices.Sort(plain)
		note("plain: %v", plain)
		for _, ip := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"} {
			one, two := p.datagrams(ip, "127.0.0.1:"+p.ports["STICKY"]), p.datagrams(ip, "127.0.0.1:"+p.ports["STICKY"])
			note("sticky, from %s: %s %s", ip, one.ask("x"), two.ask("x"))
		}
		short := p.datagrams("127.0.0.9", "127.0.0.7:"+p.ports["SHORT"])
		note("short, to 127.0.0.7: %s", short.ask("x"))
		p.until("the short session is over", func() bool { return slices.Contains(p.stats("udp.short.idle_timeout"), "udp.short.idle_timeout: 1") })
		note("short, again: %s", short.ask("x"))
		note("short, a datagram that is too long: %s", short.ask(strings.Repeat("x", 1501)))
		note("short, the longest: %s", short.ask(strings.Repeat("x", 1500))[:1])
		note("short, nothing: %s", short.ask(""))
		for _, at := range []string{"[::1]:", "127.0.0.1:"} {
			ip := strings.Trim(at[:len(at)-1], "[]")
			note("six, to %s: %s", at, p.datagrams(ip, at+p.ports["SIX"]).ask("x"))
		}
		note("six, long: %d", len(p.datagrams("::1", "[::1]:"+p.ports["SIX"]).ask(strings.Repeat("x", 8000))))
		note("nowhere: %s", p.datagrams("127.0.0.1", "127.0.0.1:"+p.ports["NOWHERE"]).ask("x"))
		for i := range 3 {
			note("few, client %d: %s", i, p.datagrams("127.0.0.1", "127.0.0.1:"+p.ports["FEW"]).ask("x"))
		}
		out = append(out, p.stats("udp.plain")...)
		for _, part := range []string{"udp.sticky", "udp.short", "udp.six", "udp.nowhere", "udp.few", ".udp.", "cluster.few.upstream_cx_overflow"} {
			for _, line := range p.stats(part) {
				if !slices.Contains(out, line) && !strings.Contains(line, "sess_active") {
					out = append(out, line)
				}
			}
		}
		return out
	})
}

// answering gives the port of a server that answers each datagram with its name, the datagram, and how long it is.
func answering(t *testing.T, name string) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", loopbacks)
	must(t, err)
	t.Cleanup(func() { pc.Close() })
	go func() {
		b := make([]byte, 65536)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			pc.WriteTo([]byte(name+" "+string(b[:max(n-2, 0)])), from) // no longer than what came
		}
	}()
	return strconv.Itoa(pc.LocalAddr().(*net.UDPAddr).Port)
}

// datagrams is one client's socket, which takes answers from where it asks only.
type datagrams struct {
	t *testing.T
	c net.Conn
}

func (p *filed) datagrams(from, to string) *datagrams {
	p.t.Helper()
	d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("udp", to)
	must(p.t, err)
	p.t.Cleanup(func() { c.Close() })
	return &datagrams{p.t, c}
}

func (d *datagrams) ask(text string) string {
	d.t.Helper()
	if _, err := d.c.Write([]byte(text)); err != nil {
		return "refused"
	}
	wait := time.Second
	if text == "" || len(text) == 1501 {
		wait = 200 * time.Millisecond // most of these go unanswered
	}
	d.c.SetReadDeadline(time.Now().Add(wait))
	b := make([]byte, 65536)
	n, err := d.c.Read(b)
	if err != nil {
		return "no answer"
	}
	return string(b[:n])
}
