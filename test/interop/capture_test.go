package interop_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// capturedMesh has Services with ports for datagrams: with endpoints a and b, with c, with none, one whose sessions keep to an endpoint by their source, and one that a
// UDPRoute leads elsewhere.
const capturedMesh = `
apiVersion: v1
kind: Service
metadata: {name: answers, namespace: default}
spec: {clusterIP: 10.96.0.31, clusterIPs: [10.96.0.31, "fd00:96::31"], ports: [{name: log, port: 5053, targetPort: 9053, protocol: UDP}, {name: web, port: 5053, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: sticky, namespace: default}
spec: {clusterIP: 10.96.0.32, ports: [{name: log, port: 5053, targetPort: 9053, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: idle, namespace: default}
spec: {clusterIP: 10.96.0.33, ports: [{name: log, port: 5053, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: routed, namespace: default}
spec: {clusterIP: 10.96.0.34, ports: [{name: log, port: 5053, protocol: UDP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {name: routed, namespace: default}
spec: {parentRefs: [{group: "", kind: Service, name: routed, port: 5053}], rules: [{backendRefs: [{name: other, port: 514}]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: sticky, namespace: default}
spec: {host: sticky.default.svc.cluster.local, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}}
` + capturedSlices + otherService

const capturedSlices = `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: sticky, namespace: default, labels: {kubernetes.io/service-name: sticky}}
addressType: IPv4
ports: [{name: log, port: 9053, protocol: UDP}]
endpoints: [{addresses: [10.78.1.1]}, {addresses: [10.78.1.2]}, {addresses: [10.78.1.3]}, {addresses: [10.78.1.4]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: answers4, namespace: default, labels: {kubernetes.io/service-name: answers}}
addressType: IPv4
ports: [{name: log, port: 9053, protocol: UDP}, {name: web, port: 8080}]
endpoints: [{addresses: [10.78.1.1], conditions: {ready: true}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: answers6, namespace: default, labels: {kubernetes.io/service-name: answers}}
addressType: IPv6
ports: [{name: log, port: 9053, protocol: UDP}, {name: web, port: 8080}]
endpoints: [{addresses: ["fd78:6864::102"], conditions: {ready: true}}]
`

const otherService = `---
apiVersion: v1
kind: Service
metadata: {name: other, namespace: default}
spec: {clusterIP: 10.96.0.35, ports: [{name: log, port: 514, targetPort: 9053, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: other, namespace: default, labels: {kubernetes.io/service-name: other}}
addressType: IPv4
ports: [{name: log, port: 9053, protocol: UDP}]
endpoints: [{addresses: [10.78.1.3], conditions: {ready: true}}]
`

// TestCapturedDatagrams: what a workload sends in datagrams to Services goes through its proxy, and what it sends to others does not.
func TestCapturedDatagrams(t *testing.T) {
	w := newWorld(t, "heddle-proxy", "", func(w *world) { w.datagrams = true })
	w.load(t, capturedMesh)
	s := sender{w, t}

	// Connected and unconnected sockets, of both families; the answer comes from the address that was asked.
	for _, to := range []string{"10.96.0.31:5053", "[fd00:96::31]:5053"} {
		seen := map[string]bool{}
		for range 20 {
			seen[s.once(to)] = true
			seen[s.ask(s.socket(""), to)] = true
		}
		if !seen["a"] || !seen["b"] || len(seen) != 2 {
			t.Errorf("%s is answered by %v, want a and b", to, seen)
		}
	}
	// Several destinations from one socket; what is no Service's address is asked without the proxy.
	one := s.socket("udp4")
	for range 3 {
		for to, want := range map[string]string{"10.96.0.35:514": "c", "10.96.0.34:5053": "c", "10.78.1.4:9053": "d", "10.96.0.33:5053": ""} {
			if got := s.ask(one, to); got != want {
				t.Errorf("%s is answered by %q, want %q", to, got, want)
			}
		}
	}
	sticky := map[string]bool{}
	for range 10 {
		sticky[s.once("10.96.0.32:5053")] = true
	}
	if len(sticky) != 1 || sticky[""] {
		t.Errorf("sessions of one source go to %v", sticky)
	}
	if got := s.once("10.96.0.31:5054"); got != "" { // nothing of the Service: nobody there
		t.Errorf("a port that the Service does not have is answered by %s", got)
	}
	for _, at := range []string{"10.78.0.10:15001", "[fd78:6864::a]:15001"} { // nobody else is passed on in the client's name
		c, err := w.hosts["outsider"].Dial(t.Context(), "udp", at)
		must(t, err)
		_, err = c.Write([]byte("ping"))
		must(t, err)
		c.Close()
	}
	w.until(t, "the datagrams of others are counted", func() bool { return s.stat("udp.BlackHoleCluster.downstream_sess_no_route") == 2 })
	long := s.socket("udp4")
	if got := s.send(long, "10.96.0.35:514", strings.Repeat("x", 9000)); got != "c" {
		t.Errorf("a long datagram is answered by %q", got)
	}
	for stat, want := range map[string]func(int) bool{
		"udp.udp|514||other.default.svc.cluster.local.downstream_sess_total":        func(n int) bool { return n == 3 },
		"udp.udp|514||other.default.svc.cluster.local.downstream_sess_rx_datagrams": func(n int) bool { return n >= 7 },
		"udp.udp|5053||idle.default.svc.cluster.local.downstream_sess_total":        func(n int) bool { return n == 0 },
		"cluster.udp|5053||idle.default.svc.cluster.local.upstream_cx_none_healthy": func(n int) bool { return n >= 3 },
		"cluster.udp|514||other.default.svc.cluster.local.udp.sess_tx_datagrams":    func(n int) bool { return n >= 7 },
		"udp.udp|5053||sticky.default.svc.cluster.local.downstream_sess_total":      func(n int) bool { return n == 10 },
		"udp.udp|514||other.default.svc.cluster.local.downstream_sess_active":       func(n int) bool { return n == 3 },
		"udp.BlackHoleCluster.downstream_sess_total":                                func(n int) bool { return n == 0 },
		"listener.0.0.0.0_15001.udp.downstream_rx_datagram_dropped":                 func(n int) bool { return n == 0 },
		"udp.udp|5053||answers.default.svc.cluster.local.downstream_sess_no_route":  func(n int) bool { return n == 0 },
	} {
		if n := s.stat(stat); !want(n) {
			t.Errorf("%s is %d", stat, n)
		}
	}

	// A session keeps to its endpoint while that is there.
	kept := s.socket("udp4")
	for s.ask(kept, "10.96.0.31:5053") != "a" {
		kept = s.socket("udp4")
	}
	w.load(t, strings.ReplaceAll(capturedMesh, "fd78:6864::102", "fd78:6864::104"))
	for range 5 {
		if got := s.ask(kept, "10.96.0.31:5053"); got != "a" {
			t.Errorf("the session went to %q, although a is there", got)
		}
	}
	w.load(t, strings.Replace(capturedMesh, "endpoints: [{addresses: [10.78.1.1], conditions", "endpoints: [{addresses: [10.78.1.2], conditions", 1))
	for range 5 {
		if got := s.ask(kept, "10.96.0.31:5053"); got != "b" {
			t.Errorf("the session is answered by %q, although only b is left", got)
		}
	}

	// A Service that goes is not captured any more, and its sessions are logged.
	mark := w.logs["client"].size()
	w.load(t, strings.ReplaceAll(strings.TrimSuffix(capturedMesh, otherService), "{name: other, port: 514}", "{name: sticky, port: 5053}"))
	w.until(t, "the sessions are logged", func() bool {
		return strings.Count(w.logs["client"].from(mark), "udp|514||other.default.svc.cluster.local") >= 3
	})
	var lines []string
	for line := range strings.Lines(w.logs["client"].from(mark)) {
		if strings.Contains(line, "udp|514||other") {
			lines = append(lines, line)
		}
	}
	for _, at := range []string{`"10.78.1.3:9053" udp|514||other`, " 10.96.0.35:514 10.78.0.10:", " 10.96.0.34:5053 10.78.0.10:", " 9000 1 "} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, at) }) {
			t.Errorf("no line has %q: %q", at, lines)
		}
	}
	if got := s.ask(one, "10.96.0.35:514"); got != "" {
		t.Errorf("a Service that is gone is answered by %s", got)
	}
	if got := s.ask(one, "10.96.0.34:5053"); got == "" {
		t.Error("the route leads elsewhere now, and nobody answers")
	}
}

// sender sends datagrams from the client.
type sender struct {
	*world
	t *testing.T
}

func (s sender) socket(network string) net.PacketConn {
	s.t.Helper()
	if network == "" {
		network = "udp"
	}
	c, err := s.hosts["client"].ListenPacket(network, ":0")
	must(s.t, err)
	s.t.Cleanup(func() { c.Close() })
	return c
}

// ask sends a datagram from a socket and gives who answers; "" for nobody.
func (s sender) ask(c net.PacketConn, to string) string {
	s.t.Helper()
	return s.send(c, to, "ping")
}

func (s sender) send(c net.PacketConn, to, text string) string {
	s.t.Helper()
	at := netip.MustParseAddrPort(to)
	if _, err := c.WriteTo([]byte(text), net.UDPAddrFromAddrPort(at)); err != nil {
		return ""
	}
	b := make([]byte, 100)
	c.SetReadDeadline(time.Now().Add(s.wait(to)))
	n, from, err := c.ReadFrom(b)
	if err != nil {
		return ""
	}
	if got := from.(*net.UDPAddr).AddrPort(); netip.AddrPortFrom(got.Addr().Unmap(), got.Port()) != at {
		return fmt.Sprintf("%s at %s", b[:n], got)
	}
	return string(b[:n])
}

// once asks from a connected socket.
func (s sender) once(to string) string {
	s.t.Helper()
	c, err := s.hosts["client"].Dial(s.t.Context(), "udp", to)
	must(s.t, err)
	defer c.Close()
	if _, err := c.Write([]byte("ping")); err != nil {
		return ""
	}
	b := make([]byte, 100)
	c.SetReadDeadline(time.Now().Add(s.wait(to)))
	n, err := c.Read(b)
	if err != nil {
		return ""
	}
	return string(b[:n])
}

// wait is shorter where no answer is to come.
func (s sender) wait(to string) time.Duration {
	if to == "10.96.0.33:5053" || to == "10.96.0.31:5054" {
		return 300 * time.Millisecond
	}
	return 5 * time.Second
}

func (s sender) stat(name string) int {
	s.t.Helper()
	_, text := s.admin("client", "/stats")
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+": "); ok {
			var n int
			fmt.Sscan(rest, &n)
			return n
		}
	}
	return 0
}
