package session

import (
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/xds"
)

// shelf is a Source made of a map.
type shelf map[xds.Name]*xds.Resource

func (s shelf) Names(typeURL string) iter.Seq[string] {
	var names []string
	for n := range s {
		if n.TypeURL == typeURL {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	return slices.Values(names)
}

func (s shelf) Resource(n xds.Name) (*xds.Resource, bool) { r, ok := s[n]; return r, ok }

var typeNames = map[string]string{
	"cds": xds.Cluster, "eds": xds.Endpoints, "lds": xds.Listener, "rds": xds.Route, "vhds": xds.VirtualHost, "sds": xds.Secret, "nds": xds.NameTable,
}

// stage plays one script: the sentences of testdata/*.txt.
type stage struct {
	t        *testing.T
	line     string
	now      time.Time
	s        *Session
	src      shelf
	budget   int
	standing map[string]Standing // TYPE NAME@VERSION
	kept     map[string]*xds.Resource
	last     map[string]string   // nonce of the last response per type
	wanted   map[string][]string // state of the world: names asked for per type
	out      Outcome
}

func (g *stage) fatalf(format string, args ...any) {
	g.t.Helper()
	g.t.Fatalf("%s\n  %s", g.line, fmt.Sprintf(format, args...))
}

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("../testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			g := &stage{
				t: t, now: time.Unix(0, 0), src: shelf{}, budget: 1 << 20, standing: map[string]Standing{}, kept: map[string]*xds.Resource{}, last: map[string]string{}, wanted: map[string][]string{},
			}
			for i, line := range strings.Split(string(text), "\n") {
				line = strings.TrimSpace(line)
				if line == "" || strings.HasPrefix(line, "#") {
					continue
				}
				g.line = fmt.Sprintf("%s:%d: %s", filepath.Base(file), i+1, line)
				g.play(line)
			}
			g.line = "end of " + file
			g.quiet()
		})
	}
}

// play obeys one sentence. The longest matching beginning decides.
func (g *stage) play(line string) {
	g.t.Helper()
	verbs := []struct {
		prefix string
		do     func(rest string)
	}{
		{"the client speaks delta", func(string) { g.s = New(Delta, g.judge) }},
		{"the client speaks state of the world", func(string) { g.s = New(StateOfTheWorld, g.judge) }},
		{"the server has ", g.has},
		{"the server drops ", g.drops},
		{"the server hears that anything may differ", func(string) { g.s.ChangedAll() }},
		{"the server sends nothing", func(string) { g.quiet() }},
		{"the server sends ", g.sends},
		{"the client subscribes to ", g.subscribes},
		{"the client unsubscribes from ", g.unsubscribes},
		{"the client wants ", g.wants},
		{"the client accepts ", g.accepts},
		{"the client rejects ", g.rejects},
		{"another client rejected ", func(rest string) { g.standing[rest] = Suspect }},
		{"this client rejected ", g.refusedBefore},
		{"responses hold one resource", func(string) { g.budget = 1 }},
		{"the culprits are ", g.culprits},
		{"the culprit is not known", func(string) { g.unknown() }},
		{"newly held are ", g.held},
		{"nothing is newly held", func(string) { g.held("") }},
		{"pass ", g.pass},
	}
	for _, v := range verbs {
		if rest, ok := strings.CutPrefix(line, v.prefix); ok {
			v.do(rest)
			return
		}
	}
	g.fatalf("no such sentence")
}

func (g *stage) judge(r *xds.Resource) (Standing, *xds.Resource) {
	key := r.Name.String() + "@" + r.Version
	return g.standing[key], g.kept[key]
}

// refusedBefore reads TYPE NAME@VERSION, or TYPE NAME@VERSION and kept VERSION.
func (g *stage) refusedBefore(rest string) {
	key, kept, ok := strings.Cut(rest, " and kept ")
	g.standing[key] = Refused
	if ok {
		short, name, _ := strings.Cut(key, " ")
		name, _, _ = strings.Cut(name, "@")
		g.kept[key] = &xds.Resource{Name: xds.Name{TypeURL: g.url(short), Name: name}, Version: kept, Body: []byte(kept)}
	}
}

func (g *stage) url(short string) string {
	url, ok := typeNames[short]
	if !ok {
		g.fatalf("no type %q", short)
	}
	return url
}

// has: "cds a@1, vhds 80/x@2 claiming 80/x.com 80/y.com, cds b@1 needing c". Whoever may differ is told.
func (g *stage) has(rest string) {
	for _, item := range strings.Split(rest, ", ") {
		f := strings.Fields(item)
		name, version, ok := strings.Cut(f[1], "@")
		if !ok {
			g.fatalf("want NAME@VERSION in %q", item)
		}
		n := xds.Name{TypeURL: g.url(f[0]), Name: name}
		r := &xds.Resource{Name: n, Version: version, Body: []byte(version)}
		if len(f) > 3 && f[2] == "claiming" {
			r.Claims = f[3:]
		}
		if len(f) > 3 && f[2] == "needing" {
			for _, need := range f[3:] {
				r.Needs = append(r.Needs, xds.Name{TypeURL: xds.Endpoints, Name: need})
			}
		}
		_, known := g.src[n]
		g.src[n] = r
		g.tell(n, !known)
	}
}

func (g *stage) drops(rest string) {
	for _, item := range strings.Split(rest, ", ") {
		short, name, _ := strings.Cut(item, " ")
		n := xds.Name{TypeURL: g.url(short), Name: name}
		delete(g.src, n)
		g.tell(n, true)
	}
}

func (g *stage) tell(n xds.Name, list bool) {
	if g.s == nil {
		return
	}
	g.s.Changed(n, nil)
	if list {
		g.s.Changed(xds.Name{TypeURL: n.TypeURL}, nil)
	}
}

func show(r Response) string {
	b := []string{xds.ShortType(r.TypeURL)}
	for _, x := range r.Resources {
		b = append(b, x.Name.Name+"@"+x.Version)
	}
	for _, x := range r.Removed {
		b = append(b, "-"+x)
	}
	return strings.Join(b, " ")
}

// sends: "cds a@1 b@1 -c" is the exact next response; the type alone is an empty one.
func (g *stage) sends(rest string) {
	g.t.Helper()
	r, ok := g.s.Next(g.now, g.src, g.budget)
	if !ok {
		g.fatalf("the server sends nothing")
	}
	if got := show(r); got != rest {
		g.fatalf("the server sends %s", got)
	}
	g.last[r.TypeURL] = r.Nonce
}

func (g *stage) quiet() {
	g.t.Helper()
	if r, ok := g.s.Next(g.now, g.src, g.budget); ok {
		g.fatalf("the server sends %s", show(r))
	}
}

// subscribes (delta): "cds", "eds a b", "cds *", with ", holding a@1 b@2" on a new stream.
func (g *stage) subscribes(rest string) {
	rest, holding, _ := strings.Cut(rest, ", holding ")
	f := strings.Fields(rest)
	req := Request{TypeURL: g.url(f[0]), Subscribe: f[1:], Initial: map[string]string{}}
	for _, h := range strings.Fields(holding) {
		name, version, _ := strings.Cut(h, "@")
		req.Initial[name] = version
	}
	g.out = g.s.Receive(g.now, req)
}

func (g *stage) unsubscribes(rest string) {
	f := strings.Fields(rest)
	g.out = g.s.Receive(g.now, Request{TypeURL: g.url(f[0]), Unsubscribe: f[1:]})
}

// wants (state of the world): all names; the nonce of the last response is repeated, as clients do.
func (g *stage) wants(rest string) {
	f := strings.Fields(rest)
	url := g.url(f[0])
	g.wanted[url] = f[1:]
	g.out = g.s.Receive(g.now, Request{TypeURL: url, Names: f[1:], Nonce: g.last[url]})
}

func (g *stage) accepts(short string) {
	url := g.url(short)
	g.out = g.s.Receive(g.now, Request{TypeURL: url, Nonce: g.last[url], Names: g.wanted[url]})
	if g.out.Answer != Ack {
		g.fatalf("the answer counts as %d", g.out.Answer)
	}
}

func (g *stage) rejects(rest string) {
	short, text, _ := strings.Cut(rest, ": ")
	url := g.url(short)
	g.out = g.s.Receive(g.now, Request{TypeURL: url, Nonce: g.last[url], Names: g.wanted[url], Rejected: true, Error: text})
	if g.out.Answer != Nack {
		g.fatalf("the answer counts as %d", g.out.Answer)
	}
}

func names(rs iter.Seq[*xds.Resource]) string {
	var all []string
	for r := range rs {
		all = append(all, r.Name.Name+"@"+r.Version)
	}
	return strings.Join(all, " ")
}

func (g *stage) culprits(want string) {
	got := names(func(yield func(*xds.Resource) bool) {
		for _, r := range g.out.Rejected {
			yield(r.Resource)
		}
	})
	if got != want {
		g.fatalf("the culprits are %q", got)
	}
}

func (g *stage) unknown() {
	if len(g.out.Rejected) > 0 || g.out.Unexplained == "" {
		g.fatalf("the culprits are %v", g.out.Rejected)
	}
}

func (g *stage) held(want string) {
	if got := names(slices.Values(g.out.Accepted)); got != want {
		g.fatalf("newly held are %q", got)
	}
}

// pass lets time go by; Wake must not have promised something earlier that nobody looked at.
func (g *stage) pass(rest string) {
	d, err := time.ParseDuration(rest)
	if err != nil {
		g.fatalf("%v", err)
	}
	until := g.now.Add(d)
	if w := g.s.Wake(g.now); !w.IsZero() && w.Before(until) {
		g.now = w.Add(-time.Nanosecond)
		g.quiet()
	}
	g.now = until
}

var _ = maps.Keys[shelf]
