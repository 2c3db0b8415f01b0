package smuggling

import (
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/heddle-mesh/heddle/test/pair"
)

// levels are the settings of MeshConfig.pathNormalization.
var levels = []struct{ name, normalize, merge, escaped string }{
	{"none", "false", "false", "KEEP_UNCHANGED"}, {"base", "true", "false", "KEEP_UNCHANGED"}, {"merge", "true", "true", "KEEP_UNCHANGED"}, {"decode", "true", "true", "UNESCAPE_AND_FORWARD"},
}

// bootstrap is the file for both proxies.
func bootstrap(t *testing.T) string {
	t.Helper()
	whole, err := os.ReadFile("testdata/proxy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	one, err := os.ReadFile("testdata/listener.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var list strings.Builder
	for _, l := range levels {
		for _, up := range []string{"up1", "up2"} {
			list.WriteString(strings.NewReplacer("LEVEL", l.name, "UP", up, "NORMALIZE", l.normalize, "MERGE", l.merge, "ESCAPED", l.escaped).Replace(string(one)))
		}
	}
	return strings.Replace(string(whole), "LISTENERS\n", list.String(), 1)
}

// outcome is what an attack came to: what the client was told, and what reached the upstream.
type outcome struct{ told, reached string }

// run sends the corpus through one proxy to one kind of upstream, one attack after the other, in so many writes each.
func run(t *testing.T, plane string, p *pair.Proxy, u *upstream, all []attack, writes int) map[string]outcome {
	t.Helper()
	out := map[string]outcome{}
	for i, a := range all {
		address := p.Address(a.level + "-" + u.name())
		u.begin(a.name)
		var told string
		var err error
		if a.frames == nil {
			told, err = send1(address, a.bytes, writes)
		} else {
			told, err = send2(address, a.frames)
		}
		if err != nil {
			t.Errorf("%s: %s: %v", plane, a.name, err)
			continue
		}
		if err := canary(address, fmt.Sprintf("/canary/%d", i)); err != nil {
			t.Errorf("%s to %s: %s: %v", plane, u.name(), a.name, err)
		}
		out[a.name] = outcome{told, u.of(a.name)}
	}
	return out
}

func (u *upstream) name() string {
	if u.http2 {
		return "up2"
	}
	return "up1"
}

// whole asks for all of the corpus; without it every eighth attack is sent, which is quick.
var whole = flag.Bool("whole", false, "send the whole corpus")

// TestCorpus sends the attacks through both proxies to both kinds of upstream.
func TestCorpus(t *testing.T) {
	all := corpus(t)
	if !*whole {
		all = slices.DeleteFunc(all, func(a attack) bool { return slices.Index(corpusNames(all), a.name)%8 != 0 })
	}
	t.Logf("%d attacks, each to an upstream of HTTP/1.1 and one of HTTP/2", len(all))
	results := map[string]map[string]outcome{} // by plane and upstream
	var mu sync.Mutex
	var wg sync.WaitGroup
	planes := []string{pair.Heddle}
	if _, err := os.Stat("../../.cache/envoy/envoy"); err == nil {
		planes = pair.Planes
	}
	for _, plane := range planes {
		ups := map[string]*upstream{"up1": newUpstream(t, false), "up2": newUpstream(t, true)}
		p := pair.Start(t, plane, bootstrap(t), map[string]string{"up1": ups["up1"].port, "up2": ups["up2"].port})
		for name, u := range ups {
			wg.Go(func() {
				out := run(t, plane, p, u, all, 1)
				if plane == pair.Heddle {
					judge(t, u)
				}
				mu.Lock()
				defer mu.Unlock()
				results[plane+" "+name] = out
			})
		}
	}
	wg.Wait()
	if len(planes) > 1 {
		compare(t, all, results)
	}
}

func corpusNames(all []attack) (names []string) {
	for _, a := range all {
		names = append(names, a.name)
	}
	return names
}

// TestCuts sends the attacks of HTTP/1 in three writes, which must change nothing.
func TestCuts(t *testing.T) {
	all := slices.DeleteFunc(corpus(t), func(a attack) bool { return a.frames != nil })
	if !*whole {
		all = slices.DeleteFunc(all, func(a attack) bool { return slices.Index(corpusNames(all), a.name)%8 != 1 })
	}
	var out [2]map[string]outcome
	var wg sync.WaitGroup
	for i, writes := range []int{1, 3} {
		u := newUpstream(t, false)
		p := pair.Start(t, pair.Heddle, bootstrap(t), map[string]string{"up1": u.port, "up2": u.port})
		wg.Go(func() { out[i] = run(t, pair.Heddle, p, u, all, writes) })
	}
	wg.Wait()
	for name, whole := range out[0] {
		if cut := out[1][name]; cut != whole {
			t.Errorf("%s: in one write %q, in three %q", name, whole, cut)
		}
	}
}

// judge holds what every parser of the upstream saw against what the proxy has written and judged.
func judge(t *testing.T, u *upstream) {
	t.Helper()
	conns := u.evidence()
	attacks := map[string]string{} // by what the proxy wrote into the request
	bodies := map[string]int{}
	lists := make([][]seen, len(conns))
	for i, c := range conns {
		for _, s := range c.requests {
			lists[i] = append(lists[i], *s)
			attacks[strings.Join(s.Front, "|")] = s.attack
			bodies[strings.Join(s.Front, "|")] = s.Bytes
		}
	}
	hold(t, u, "net/http", conns, lists, attacks)
	for _, parser := range parsers {
		if u.http2 && !parser.http2 {
			continue
		}
		lists, ok := replay(t, parser.program, parser.script, u, conns)
		if !ok {
			continue
		}
		hold(t, u, parser.name, conns, lists, attacks)
		for _, list := range lists {
			for _, s := range list {
				key := strings.Join(s.Front, "|")
				if n, ok := bodies[key]; ok && n >= 0 && s.Bytes >= 0 && n != s.Bytes {
					t.Errorf("%s: %s: a body of %d bytes for %s, of %d for net/http", u.name(), attacks[key], s.Bytes, parser.name, n)
				}
			}
		}
	}
}

// hold says where a parser does not see exactly the requests that the proxy has written, connection by connection.
func hold(t *testing.T, u *upstream, parser string, conns []*recorded, lists [][]seen, attacks map[string]string) {
	t.Helper()
	for i, c := range conns {
		written := c.forwarded()
		for _, s := range lists[i] {
			fair(t, parser, u, &s, attacks[strings.Join(s.Front, "|")])
			if len(s.Front) == 1 {
				if at := slices.Index(written, s.Front[0]); at >= 0 {
					written = slices.Delete(written, at, at+1)
					continue
				}
			}
			t.Errorf("%s: %s sees %s, which the proxy has not written so", u.name(), parser, s)
		}
		for _, front := range written {
			if target := front[strings.LastIndex(front, " ")+1:]; parser == "net/http" && !parses(target) {
				continue // net/http refuses a broken escape in a target, and shows nobody
			}
			t.Errorf("%s: %s does not see %q, which the proxy has written (%s)", u.name(), parser, front, attacks[front])
		}
	}
}

func parses(target string) bool {
	_, err := url.ParseRequestURI(target)
	return err == nil
}

// fair checks one request: that the proxy has judged what the parser sees, and that the policy would let it through.
func fair(t *testing.T, parser string, u *upstream, s *seen, attack string) {
	t.Helper()
	if len(s.Front) != 1 || !strings.HasSuffix(s.Front[0], " "+s.String()) {
		t.Errorf("%s: %s: the proxy judged %q, %s sees %q", u.name(), attack, s.Front, parser, s)
	}
	plain := s.Path
	if u, err := url.Parse(s.Path); err == nil {
		plain = u.Path // decoded
	}
	host, _, err := net.SplitHostPort(s.Host)
	if err != nil {
		host = s.Host
	}
	levelled := strings.HasPrefix(attack, "h1-path-") || strings.HasPrefix(attack, "h2-path-") // what is sent to weaker levels of normalisation
	if strings.HasPrefix(path.Clean("/"+strings.ReplaceAll(plain, `\`, "/")), "/admin") && !levelled || strings.EqualFold(host, "forbidden.test") || slices.Contains(s.Role, "admin") {
		t.Errorf("%s: %s: the policy denies %s with x-role %q, which %s sees", u.name(), attack, s, s.Role, parser)
	}
}
