package server

import (
	"crypto/ed25519"
	crand "crypto/rand"
	gotls "crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/loop/sim"
	"github.com/heddle-mesh/heddle/data/proxy/secret"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

var (
	swapRuns = flag.Int("swaps", 0, "schedules of configuration changes to simulate; 0: as many as are quick")
	swapSeed = flag.Uint64("swap-seed", 0, "simulate the schedule of this seed alone, as a failure names it")
)

// TestConfigurationSwaps changes the configuration of a proxy, or of two in a row that speak HTTP/2 with each other, while clients and servers behave as they like: partial
// reads and writes, pauses, resets, halves of requests, answers in pieces or never. All of it is decided by a seed. Whatever happened, at the end
//
//   - no byte was lost, doubled or moved, and every answer belongs to its request;
//   - a request saw one version of the listener and one of the routes, from its first byte to its last and in all its tries, and none older than itself;
//   - every request was counted once;
//   - nothing is left: no connection, exchange, buffer, timer, permission of a breaker, pool.
func TestConfigurationSwaps(t *testing.T) {
	if *swapSeed > 0 {
		swap(t, *swapSeed)
		return
	}
	n := *swapRuns
	if n == 0 {
		if n = 400; testing.Short() {
			n = 50
		}
	}
	for seed := range uint64(n) {
		if swap(t, seed+1); t.Failed() {
			t.Fatalf("replay it: go test ./data/proxy/server -run ConfigurationSwaps -swap-seed %d", seed+1)
		}
	}
}

// swaps is one schedule.
type swaps struct {
	t         *testing.T
	seed      uint64
	r         *rand.Rand
	sim       *sim.Sim
	front     *plane
	back      *plane // nil for one proxy alone
	customers []*customer
	ids       int

	trusting *tls.ClientContext
	arrivals map[string][]arrival
	finished map[string]outcome
	port     uint16
}

// outcome is a request as the first proxy closed its books.
type outcome struct {
	status, attempts        int
	route, table, via       string
	answerRoute, answerVia  string
	current                 seen
	listener, flags, detail string
}

func (s *swaps) fail(format string, args ...any) {
	s.t.Errorf("seed %d: "+format, append([]any{s.seed}, args...)...)
}

func (s *swaps) next() int { s.ids++; return s.ids }

func (s *swaps) from() loop.Address {
	s.port++
	return loop.TCP(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 0, 1}), 20000+s.port))
}

// size is a body's, more often small than large.
func (s *swaps) size() int { return s.r.IntN(1 << (s.r.IntN(18))) }

func (s *swaps) proxy(p *plane) *plane {
	o := Options{Log: slog.New(slog.DiscardHandler), Concurrency: 1}
	p.server = &Server{opts: o, registry: stats.New(), secrets: &secret.Store{Log: o.Log}, workers: []*loop.Worker{s.sim.Worker()}}
	if err := p.server.buildPlane(); err != nil {
		s.t.Fatal(err)
	}
	p.server.clusters.Now = s.sim.Worker().Wall
	p.server.buildConfig()
	p.r, p.refuse, p.certificate, p.inForce.via = s.r, func(err error) { s.fail("refused: %v", err) }, own, map[string]int{}
	p.removed = map[string]int{}
	p.later = func(fn func()) { s.after(800, fn) }
	return p
}

// own is the certificate of the listener with TLS. Its signatures are of one length, so that chance is the same in every run.
var own = func() *tlsv3.TlsCertificate {
	public, private, err := ed25519.GenerateKey(crand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"web"}, NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(crand.Reader, template, template, public, private)
	if err != nil {
		panic(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		panic(err)
	}
	text := func(kind string, b []byte) *corev3.DataSource {
		return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})}}
	}
	return &tlsv3.TlsCertificate{CertificateChain: text("CERTIFICATE", der), PrivateKey: text("PRIVATE KEY", key)}
}()

func swap(t *testing.T, seed uint64) {
	s := &swaps{t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 7)), sim: sim.New(seed), arrivals: map[string][]arrival{}, finished: map[string]outcome{}}
	var err error
	if s.trusting, err = tls.NewClientContext(&config.ClientTLS{SNI: "web", TLSParams: config.TLSParams{MinVersion: gotls.VersionTLS13}}, nil); err != nil {
		t.Fatal(err)
	}
	s.front = s.proxy(&plane{listens: append([]string{"tcp"}, httpListeners...), to: origins})
	s.front.server.requests.reporter = s
	if s.r.IntN(2) == 0 {
		s.back = s.proxy(&plane{listens: []string{"back"}, to: origins, behind: true})
		s.front.h2, s.front.to = true, []string{at("back").String()}
		s.sim.Listen(at("back"), func(c loop.Conn) { s.back.server.listeners.Take(at("back"), c) })
	}
	for _, a := range origins[:4] {
		s.sim.Listen(loop.TCP(netip.MustParseAddrPort(a)), func(c loop.Conn) { c.SetHandler(&origin{swaps: s, c: c, address: a}) })
	}
	s.sim.Silence(loop.TCP(netip.MustParseAddrPort(origins[5])))
	for _, a := range repeaters {
		s.sim.Listen(loop.TCP(netip.MustParseAddrPort(a)), func(c loop.Conn) { c.SetHandler(&echo{swaps: s, c: c}) })
	}
	s.sim.Capacity = 64 << 10 << s.r.IntN(4)
	s.sim.At(0, func() {
		if s.back != nil {
			s.back.first()
		}
		s.front.first()
	})
	s.play()
	s.sim.Gentle = true
	s.sim.Run(time.Minute) // every time-out passes
	s.judge()
	s.end()
}

// play lets everybody act for a while.
func (s *swaps) play() {
	const length = 3000 // ms
	for range 3 + s.r.IntN(10) {
		s.after(length, s.front.change)
		if s.back != nil {
			s.after(length, s.back.change)
		}
	}
	for range 2 + s.r.IntN(5) {
		s.after(length/2, func() {
			c := s.customer(httpListeners[s.r.IntN(len(httpListeners))])
			for range 1 + s.r.IntN(10) {
				s.after(length/2, c.step)
			}
		})
	}
	for range s.r.IntN(3) {
		s.after(length/2, func() {
			c := s.customer([]string{"tcp", "detect"}[s.r.IntN(2)])
			for range 1 + s.r.IntN(10) {
				s.after(length/2, c.pump)
			}
		})
	}
	s.sim.Run(length * time.Millisecond)
}

// arrived notes a request that a server got.
func (s *swaps) arrived(a arrival) { s.arrivals[a.id] = append(s.arrivals[a.id], a) }

// Talking implements stream.Reporter.
func (*swaps) Talking(*stream.Exchange) {}

// Finished implements stream.Reporter for the first proxy.
func (s *swaps) Finished(x *stream.Exchange) {
	path := string(x.Request.Path())
	id := path[strings.LastIndexByte(path, '/')+1:]
	get := func(h interface{ Get(string) ([]byte, bool) }, name string) string {
		v, _ := h.Get(name)
		return string(v)
	}
	if _, twice := s.finished[id]; twice && id != "" {
		s.fail("request %s was counted twice", id)
	}
	s.finished[id] = outcome{
		status: x.Response.Status, attempts: x.Attempts(), route: get(&x.Request, "x-route"), table: get(&x.Request, "x-table"), via: get(&x.Request, "via"),
		answerRoute: get(&x.Response, "x-route"), answerVia: last(get(&x.Response, "via")), current: s.front.seen(), listener: x.Manager().Config.Stat, flags: x.Flags().String(), detail: x.Details(),
	}
}

func last(list string) string {
	all := strings.Split(list, ", ")
	return all[len(all)-1]
}

func first(list string) string {
	one, _, _ := strings.Cut(list, ", ")
	return one
}

// told compares a whole answer that a client got with the books.
func (c *customer) told(q *asked, resp *http.Response) {
	status, route, via := resp.StatusCode, resp.Header.Get("X-Route"), resp.Header.Get("Via")
	o, ok := c.finished[q.id]
	switch {
	case !ok:
		c.fail("request %s was answered and never counted", q.id)
	case o.status != status:
		c.fail("request %s was answered with %d and counted as %d", q.id, status, o.status)
	case route != o.answerRoute || last(via) != o.answerVia:
		c.fail("request %s got route %q by %q, counted were %q by %q", q.id, route, via, o.answerRoute, o.answerVia)
	}
	if number(route) > 0 && strings.HasPrefix(route, "r.") && (number(route) < q.seen.route || number(route) > o.current.route) {
		c.fail("request %s saw routes %s; in force were %d to %d", q.id, route, q.seen.route, o.current.route)
	}
	if via == "" {
		return
	}
	v, at := number(last(via)), o.listener
	if final := resp.Close && v <= c.front.removed[at]; v > o.current.via[at] || v < q.seen.via[at] && !final { // a connection of a listener that was removed may ask once more
		c.fail("request %s was served by listener %s; in force were %d to %d", q.id, via, q.seen.via[at], o.current.via[at])
	}
}

// number is that of a version, 0 for none.
func number(version string) (n int) {
	_, text, _ := strings.Cut(version, ".")
	_, _ = fmt.Sscan(text, &n)
	return n
}

// judge checks what everybody saw.
func (s *swaps) judge() {
	for _, c := range s.customers {
		if err := c.judge(); err != nil {
			s.fail("%v", err)
		}
	}
	for id, o := range s.finished {
		if o.route != o.table {
			s.fail("request %s was given headers of the route configurations %q and %q", id, o.route, o.table)
		}
		if o.answerRoute != "" && o.route != "" && o.route != o.answerRoute || o.answerVia != "" && o.via != "" && first(o.via) != o.answerVia {
			s.fail("request %s went out by routes %q and listener %q, and its answer by %q and %q", id, o.route, o.via, o.answerRoute, o.answerVia)
		}
		if o.detail == "" {
			s.fail("request %s ended without a reason", id)
		}
	}
	for id, list := range s.arrivals {
		o, counted := s.finished[id]
		if !counted {
			s.fail("request %s came to a server and was never counted", id)
			continue
		}
		if s.back == nil && len(list) > o.attempts {
			s.fail("request %s was tried %d times and came %d times", id, o.attempts, len(list))
		}
		for _, a := range list {
			if a.route != o.route || a.table != o.table || first(a.via) != first(o.via) {
				s.fail("request %s came with %+v, its exchange had routes %q and listener %q", id, a, o.route, o.via)
			}
		}
	}
}

// end takes clients, servers and configuration away and looks what is left.
func (s *swaps) end() {
	w := s.sim.Worker()
	w.Conns(func(c loop.Conn) { c.Abort(false) })
	s.sim.Run(time.Minute)
	for _, p := range []*plane{s.front, s.back} {
		if p == nil {
			continue
		}
		clusters := p.server.clusters.All()
		s.sim.At(0, p.clear)
		s.sim.Run(time.Second)
		for name, c := range clusters {
			for _, r := range []upstream.Resource{upstream.Pending, upstream.Requests, upstream.Retries, upstream.Connections} {
				if n := c.Breaker(0).Count(r); n != 0 {
					s.fail("cluster %s: resource %d counts %d", name, r, n)
				}
			}
			for _, h := range c.Hosts() {
				if h.Active() != 0 {
					s.fail("cluster %s: %s has %d active requests", name, h.Address, h.Active())
				}
			}
		}
		s.counted(p)
		if n := p.server.pools[0].Clusters(); n != 0 {
			s.fail("%d clusters are still held", n)
		}
		if n := p.server.requests.workers[0].Active(); n != 0 {
			s.fail("%d exchanges are left", n)
		}
		p.server.live.Close()
	}
	if w.Load() != 0 || w.BufferBytes() != 0 || w.Timers() != 0 {
		s.fail("%d connections, %d bytes of buffers, %d timers are left", w.Load(), w.BufferBytes(), w.Timers())
	}
}

// counted checks that gauges are back at zero and that what began was completed.
func (s *swaps) counted(p *plane) {
	sums := map[string]uint64{}
	for _, x := range p.server.registry.Snapshot() {
		if x.Gauge != 0 {
			s.fail("%s%v is %d", x.Name, x.Labels, x.Gauge)
		}
		sums[x.Name] += x.Value
	}
	if a, b := sums["envoy_http_downstream_rq_total"], sums["envoy_http_downstream_rq_completed"]; a != b || p == s.front && a != uint64(len(s.finished)) {
		s.fail("%d requests, %d completed, %d told", a, b, len(s.finished))
	}
	if a, b := sums["envoy_http_downstream_cx_total"], sums["envoy_http_downstream_cx_destroy"]; a != b {
		s.fail("%d connections, %d of them ended", a, b)
	}
}
