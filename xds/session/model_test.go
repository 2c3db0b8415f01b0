package session

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/xds"
)

// schedule drives one session, a client and a source by bytes. The client obeys the protocol: it applies responses, refuses versions that end in "!", and says so with
// or without a name. At the end the client must hold exactly what the source has (but for what it refused), in either form.
type schedule struct {
	t     *testing.T
	bytes []byte
	now   time.Time
	s     *Session
	src   shelf
	mode  Mode

	have    map[xds.Name]string // what the client holds
	asked   map[xds.Name]bool   // explicit names
	wild    map[string]bool
	opened  map[string]bool
	inbox   []Response // sent, not read by the client yet
	serial  int
	trail   []string
	refused map[xds.Name]string
}

var modelTypes = []string{xds.Cluster, xds.Endpoints, xds.Listener, xds.Route, xds.VirtualHost, xds.Secret}

func (m *schedule) byte() int {
	if len(m.bytes) == 0 {
		return 0
	}
	b := m.bytes[0]
	m.bytes = m.bytes[1:]
	return int(b)
}

func (m *schedule) name() xds.Name {
	b := m.byte()
	url := modelTypes[b%len(modelTypes)]
	n := string(rune('a' + b/8%4))
	if url == xds.VirtualHost {
		n = string(rune('a'+b/32%2)) + "/" + n
	}
	return xds.Name{TypeURL: url, Name: n}
}

func (m *schedule) say(format string, args ...any) {
	m.trail = append(m.trail, fmt.Sprintf(format, args...))
}

func (m *schedule) reset() {
	m.s = New(m.mode, nil)
	m.inbox, m.opened = nil, map[string]bool{}
}

func (m *schedule) step() {
	switch m.byte() % 12 {
	case 0, 1, 2:
		m.edit()
	case 3, 4:
		m.subscribe()
	case 5:
		m.unsubscribe()
	case 6, 7, 8:
		m.serve()
	case 9, 10:
		m.answer()
	case 11:
		if m.byte()%8 == 0 {
			m.reconnect()
			return
		}
		d := time.Duration(m.byte()) * 50 * time.Millisecond
		m.now = m.now.Add(d)
		m.say("pass %v", d)
	}
}

func (m *schedule) edit() {
	n := m.name()
	if m.byte()%4 == 0 {
		delete(m.src, n)
		m.say("drop %s", n)
	} else {
		m.serial++
		v := fmt.Sprint(m.serial)
		if m.byte()%6 == 0 {
			v += "!"
		}
		r := &xds.Resource{Name: n, Version: v, Body: []byte(v)}
		if m.byte()%2 == 0 {
			r.Claims = []string{fmt.Sprint(m.byte() % 3)}
		}
		m.src[n] = r
		m.say("put %s@%s", n, v)
	}
	m.s.Changed(n, nil)
	m.s.Changed(xds.Name{TypeURL: n.TypeURL}, nil)
}

func (m *schedule) names(url string) (all []string) {
	for n := range m.asked {
		if n.TypeURL == url {
			all = append(all, n.Name)
		}
	}
	slices.Sort(all)
	return all
}

// request sends what the client wants of a type now.
func (m *schedule) request(req Request) Outcome {
	if m.mode == StateOfTheWorld {
		req.Subscribe, req.Unsubscribe = nil, nil
		req.Names = m.names(req.TypeURL)
		if m.wild[req.TypeURL] {
			req.Names = append([]string{"*"}, req.Names...)
		}
	} else if !m.opened[req.TypeURL] {
		req.Subscribe, req.Unsubscribe = m.names(req.TypeURL), nil
		if m.wild[req.TypeURL] {
			req.Subscribe = append(req.Subscribe, "*")
		}
		req.Initial = map[string]string{}
		for n, v := range m.have {
			if n.TypeURL == req.TypeURL {
				req.Initial[n.Name] = v
			}
		}
	}
	m.opened[req.TypeURL] = true
	return m.s.Receive(m.now, req)
}

func (m *schedule) subscribe() {
	n := m.name()
	if m.byte()%3 == 0 || n.TypeURL == xds.VirtualHost {
		if m.mode == StateOfTheWorld && n.TypeURL != xds.Cluster && n.TypeURL != xds.Listener {
			return
		}
		m.wild[n.TypeURL] = true
		m.say("subscribe %s *", xds.ShortType(n.TypeURL))
		m.request(Request{TypeURL: n.TypeURL, Subscribe: []string{"*"}})
		return
	}
	m.asked[n] = true
	m.say("subscribe %s", n)
	m.request(Request{TypeURL: n.TypeURL, Subscribe: []string{n.Name}})
}

func (m *schedule) unsubscribe() {
	n := m.name()
	if !m.asked[n] || n.TypeURL == xds.Route {
		return
	}
	delete(m.asked, n)
	if !m.wild[n.TypeURL] {
		delete(m.have, n)
		m.orphans()
	}
	m.say("unsubscribe %s", n)
	m.request(Request{TypeURL: n.TypeURL, Unsubscribe: []string{n.Name}})
}

func (m *schedule) serve() {
	budget := 1 << 20
	if m.byte()%2 == 0 {
		budget = 1
	}
	if r, ok := m.s.Next(m.now, m.src, budget); ok {
		m.say("send %s (nonce %s)", show(r), r.Nonce)
		m.check(r)
		m.inbox = append(m.inbox, r)
	}
}

// check holds for every response: no name twice, added and removed are apart, and there is a body for each.
func (m *schedule) check(r Response) {
	seen := map[string]bool{}
	for _, x := range r.Resources {
		if seen[x.Name.Name] || x.Body == nil || x.Name.TypeURL != r.TypeURL {
			m.fatal("response holds %s twice, without bytes or of another type", x.Name)
		}
		seen[x.Name.Name] = true
	}
	for _, name := range r.Removed {
		if seen[name] {
			m.fatal("response adds and removes %s", name)
		}
		seen[name] = true
	}
}

func (m *schedule) wants(n xds.Name) bool { return m.asked[n] || m.wild[n.TypeURL] }

func (m *schedule) answer() {
	if len(m.inbox) == 0 {
		return
	}
	r := m.inbox[0]
	m.inbox = m.inbox[1:]
	req := Request{TypeURL: r.TypeURL, Nonce: r.Nonce}
	for _, x := range r.Resources {
		if strings.HasSuffix(x.Version, "!") && m.wants(x.Name) {
			req.Rejected, req.Error = true, "cannot be taken"
			if m.byte()%2 == 0 {
				req.Error = x.Name.Name + " cannot be taken"
			}
		}
	}
	if !req.Rejected {
		m.apply(r)
	}
	m.say("answer %s refused=%v %q", r.Nonce, req.Rejected, req.Error)
	for _, x := range m.request(req).Rejected {
		m.refused[x.Resource.Name] = x.Resource.Version
		if !strings.HasSuffix(x.Resource.Version, "!") {
			m.fatal("%s@%s is blamed though it is good", x.Resource.Name, x.Resource.Version)
		}
	}
}

func (m *schedule) apply(r Response) {
	if m.mode == StateOfTheWorld && (r.TypeURL == xds.Cluster || r.TypeURL == xds.Listener) {
		maps.DeleteFunc(m.have, func(n xds.Name, _ string) bool { return n.TypeURL == r.TypeURL })
	}
	for _, x := range r.Resources {
		if m.wants(x.Name) && (x.Name.TypeURL != xds.VirtualHost || m.asked[x.Name] || m.hasRoute(x.Name)) {
			m.have[x.Name] = x.Version
		}
	}
	for _, name := range r.Removed {
		delete(m.have, xds.Name{TypeURL: r.TypeURL, Name: name})
	}
	m.orphans()
}

func (m *schedule) hasRoute(n xds.Name) bool {
	route, _ := xds.RouteOf(n.Name)
	_, ok := m.have[xds.Name{TypeURL: xds.Route, Name: route}]
	return ok
}

// orphans drops virtual hosts without their route configuration, as clients do.
func (m *schedule) orphans() {
	for n := range m.have {
		if n.TypeURL == xds.VirtualHost && !m.asked[n] && !m.hasRoute(n) {
			delete(m.have, n)
		}
	}
}

func (m *schedule) reconnect() {
	m.say("reconnect")
	m.reset()
	if m.mode == StateOfTheWorld {
		// A state-of-the-world client cannot learn what went away meanwhile, but for clusters and listeners: take it as starting anew.
		m.have = map[xds.Name]string{}
	}
	for _, url := range modelTypes {
		if m.wild[url] || len(m.names(url)) > 0 {
			m.request(Request{TypeURL: url})
		}
	}
}

// settle lets everything be sent and answered.
func (m *schedule) settle() {
	for i := 0; ; i++ {
		if i > 5000 {
			m.fatal("it never comes to rest")
		}
		if r, ok := m.s.Next(m.now, m.src, 1<<20); ok {
			m.say("send %s (nonce %s)", show(r), r.Nonce)
			m.check(r)
			m.inbox = append(m.inbox, r)
			continue
		}
		if len(m.inbox) > 0 {
			m.answer()
			continue
		}
		w := m.s.Wake(m.now)
		if w.IsZero() {
			return
		}
		m.now = w
	}
}

func (m *schedule) fatal(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(m.trail, "\n"))
}

// compare is the theorem.
func (m *schedule) compare() {
	m.t.Helper()
	if !m.s.Confirmed() {
		m.fatal("at rest, but not confirmed: %+v", m.s.Status())
	}
	for n, r := range m.src {
		if !m.wants(n) || strings.HasSuffix(r.Version, "!") {
			continue
		}
		if n.TypeURL == xds.VirtualHost && !m.asked[n] {
			route, _ := xds.RouteOf(n.Name)
			if _, ok := m.have[xds.Name{TypeURL: xds.Route, Name: route}]; !ok {
				continue
			}
		}
		if m.have[n] != r.Version {
			m.fatal("the client holds %s@%q, the server has %q", n, m.have[n], r.Version)
		}
	}
	for n, v := range m.have {
		if m.mode == StateOfTheWorld && n.TypeURL != xds.Cluster && n.TypeURL != xds.Listener {
			continue // this form cannot say that it is gone
		}
		if n.TypeURL == xds.VirtualHost {
			route, _ := xds.RouteOf(n.Name)
			if _, ok := m.have[xds.Name{TypeURL: xds.Route, Name: route}]; !ok || m.src[xds.Name{TypeURL: xds.Route, Name: route}] == nil {
				continue
			}
		}
		if _, ok := m.src[n]; !ok && m.wants(n) {
			m.fatal("the client holds %s@%s, the server has none", n, v)
		}
		if strings.HasSuffix(v, "!") {
			m.fatal("the client holds the refused %s@%s", n, v)
		}
	}
}

func play(t *testing.T, mode Mode, bytes []byte) {
	m := &schedule{
		t: t, bytes: bytes, now: time.Unix(0, 0), src: shelf{}, mode: mode,
		have: map[xds.Name]string{}, asked: map[xds.Name]bool{}, wild: map[string]bool{}, refused: map[xds.Name]string{},
	}
	m.reset()
	for len(m.bytes) > 0 {
		m.step()
	}
	m.settle()
	m.compare()
}

func TestRandomSchedulesEndInTheServersState(t *testing.T) {
	runs := 1000
	if testing.Short() {
		runs = 200
	}
	for seed := range runs {
		bytes := noise(uint64(seed), 400)
		play(t, Delta, bytes)
		play(t, StateOfTheWorld, bytes)
	}
}

// noise is a splitmix64 sequence.
func noise(seed uint64, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		seed += 0x9e3779b97f4a7c15
		z := (seed ^ seed>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		out[i] = byte(z >> 56)
	}
	return out
}

func FuzzSchedules(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed%2 == 0, noise(seed, 120))
	}
	f.Fuzz(func(t *testing.T, delta bool, bytes []byte) {
		if len(bytes) > 600 {
			return
		}
		mode := StateOfTheWorld
		if delta {
			mode = Delta
		}
		play(t, mode, bytes)
	})
}
