package interop_test

import (
	"bufio"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// fixture is one behaviour: objects, then requests with what must come of them.
//
//	-- meshconfig.yaml --  Istio's MeshConfig, if it matters; such a fixture gets a world of its own
//	-- mesh.yaml --        objects of the folder source, beside those of testdata/base.yaml; ${TLS_CERT} and ${TLS_KEY} are a pair for *.example.com, see withCertificate
//	-- requests.txt --     paragraphs; see exchange
//	-- told.txt --         what the authors of the objects are told, of whatever is compiled for the proxies of both data planes: CODE OBJECT FIELD: SENTENCE
//	-- xds.txt --          what of the compiled output matters here: headings that say which part of which resource, and below each what it is; see compiled.show
//
// More pairs of mesh.yaml and requests.txt are steps: the objects take the place of those before, while proxies and held connections go on.
type fixture struct {
	name, about, meshConfig string
	steps                   []step
}

// step is what is asked of a mesh of certain objects.
type step struct {
	mesh      string
	exchanges []exchange
	xds       string
	told      *string // nil: nothing may be told, but what leads nowhere or is closed
}

// exchanges are those of all steps.
func (f *fixture) exchanges() (all []exchange) {
	for _, s := range f.steps {
		all = append(all, s.exchanges...)
	}
	return all
}

// exchange is one request line and its expectations:
//
//	> GET http://reviews:8080/path     the request; @10.78.1.1 after it dials that address instead of the name's; from HOST: who asks (client);
//	                                   on PLANE: of this data plane only (envoy, heddle-proxy), because the other cannot do it;
//	                                   h2c: in HTTP/2 without asking; hold NAME: over the connections that stay open under this name to the end of the fixture
//	> header: value
//	> body: text
//	< 200                              the answer; of tcp:// and tls:// URLs: open, greeted if the server must speak first, or closed before the server says a word; of udp:// URLs: open or closed, as datagrams are answered or not
//	< header: value                    (value may be * for "any")
//	< !header                          must be absent
//	< body: text                       the whole body; body~ for a part
//	= method GET | path /x | host h | proto HTTP/2.0 | header name: value | header~ name: part | no-header name | body text     what the upstream saw
//	= endpoints a b                    over `* N` repetitions, exactly this set
//	= share a 90 5                     of all answers, a gave 90 % within 5 points
//	= statuses 200 503                 over repetitions, exactly this set
//	= mirrored b                       endpoint b saw a copy
//	= flag UF                          response flag in the access log of the client's proxy, or: UF at PROXY
//	= log part at PROXY                a line that its access log got for this exchange has this in it; at HOST (a, b, ...) what arrives at its receivers (sinks_test.go)
//	= no-log part at PROXY             no such line has it; say beside it what comes there, so that there is something to wait for
//	~ body heddle-proxy part of it      the body may differ between the data planes; on this one it has this in it. A comment says why
//	* 20                               repetitions; * 20 at once: concurrently
type exchange struct {
	step, line              int
	method, url, dial, from string
	hold                    string
	h2c                     bool
	plane                   string // "" for both
	header                  http.Header
	body                    string
	repeat                  int
	atOnce                  bool
	status                  int
	tcp                     string        // open, greeted or closed
	answer                  []expectation // of the response
	upstream                []expectation // of what the upstream saw
	endpoints, statuses     []string
	shares                  []share
	mirrored                []string
	flag, logger            string
	logged                  []logged
	bodies                  map[string]string // part of a body that may differ, by plane
}

// String says where it stands.
func (x *exchange) String() string { return fmt.Sprintf("step %d, line %d", x.step, x.line) }

// logged is what a log has, or must not have.
type logged struct {
	part, at string
	absent   bool
}

type share struct {
	endpoint         string
	percent, withins float64
}

type expectation struct{ what, name, value string }

func parse(t *testing.T, name string, data []byte) fixture {
	t.Helper()
	a := txtar.Parse(data)
	f := fixture{name: name, about: strings.TrimSpace(string(a.Comment))}
	golden := 0 // lines
	for _, file := range a.Files {
		switch file.Name {
		case "mesh.yaml":
			f.steps = append(f.steps, step{mesh: string(file.Data)})
		case "meshconfig.yaml":
			f.meshConfig = string(file.Data)
		case "told.txt":
			if len(f.steps) == 0 {
				f.steps = make([]step, 1)
			}
			text := string(file.Data)
			f.steps[len(f.steps)-1].told = &text
			golden += strings.Count(text, "\n") + 1
		case "xds.txt":
			if len(f.steps) == 0 {
				f.steps = make([]step, 1)
			}
			f.steps[len(f.steps)-1].xds = string(file.Data)
			golden += strings.Count(string(file.Data), "\n") + 1
		case "requests.txt":
			if len(f.steps) == 0 {
				f.steps = make([]step, 1)
			}
			last := &f.steps[len(f.steps)-1]
			last.exchanges = exchanges(t, name, string(file.Data))
			for i := range last.exchanges {
				last.exchanges[i].step = len(f.steps)
			}
		default:
			t.Fatalf("%s: unknown section %s", name, file.Name)
		}
	}
	if f.about == "" || len(f.exchanges()) == 0 {
		t.Fatalf("%s: a fixture needs a comment and requests", name)
	}
	if text := string(data); !strings.Contains(text, "fd00:96::") && !strings.Contains(text, "fd78:6864::") {
		t.Errorf("%s has no case over IPv6", name)
	}
	most := 60
	if strings.HasPrefix(name, "task-") { // has the objects of a page's steps, whole
		most = 90
	}
	if n := strings.Count(string(data), "\n") - golden; n > most || golden > 40 {
		t.Errorf("%s has %d lines and %d of compiled output; one behaviour fits in %d, and what matters of its output in 40", name, n, golden, most)
	}
	return f
}

func exchanges(t *testing.T, name, text string) (all []exchange) {
	t.Helper()
	s := bufio.NewScanner(strings.NewReader(text))
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		kind, rest, _ := strings.Cut(line, " ")
		var err error
		switch {
		case kind == ">" && requestLine(rest):
			all = append(all, exchange{line: n, repeat: 1, header: http.Header{}, from: "client", logger: "client"})
			err = all[len(all)-1].request(rest)
		case len(all) == 0:
			err = fmt.Errorf("it comes before the first request")
		default:
			err = all[len(all)-1].read(kind, rest)
		}
		if err != nil {
			t.Fatalf("%s: requests.txt line %d: %v", name, n, err)
		}
	}
	return all
}

// requestLine tells METHOD URL from a header.
func requestLine(s string) bool {
	method, rest, _ := strings.Cut(s, " ")
	return method == strings.ToUpper(method) && strings.Contains(rest, "://")
}

func (x *exchange) request(line string) error {
	parts := strings.Fields(line)
	x.method, x.url = parts[0], parts[1]
	for parts = parts[2:]; len(parts) > 0; {
		switch at, ok := strings.CutPrefix(parts[0], "@"); {
		case ok:
			x.dial, parts = at, parts[1:]
		case parts[0] == "from" && len(parts) > 1:
			x.from, parts = parts[1], parts[2:]
		case parts[0] == "on" && len(parts) > 1 && slices.Contains(planes, parts[1]):
			x.plane, parts = parts[1], parts[2:]
		case parts[0] == "hold" && len(parts) > 1:
			x.hold, parts = parts[1], parts[2:]
		case parts[0] == "h2c":
			x.h2c, parts = true, parts[1:]
		default:
			return fmt.Errorf("want @ADDRESS, from HOST, on PLANE, hold NAME or h2c, not %q", parts[0])
		}
	}
	return nil
}

func (x *exchange) read(kind, rest string) (err error) {
	switch kind {
	case ">":
		return x.readRequest(rest)
	case "<":
		return x.readAnswer(rest)
	case "=":
		return x.readUpstream(rest)
	case "~":
		plane, part, ok := strings.Cut(strings.TrimPrefix(rest, "body "), " ")
		if !ok || !strings.HasPrefix(rest, "body ") || !slices.Contains(planes, plane) {
			return fmt.Errorf("want body, a data plane and a part of the body: %q", rest)
		}
		if x.bodies == nil {
			x.bodies = map[string]string{}
		}
		x.bodies[plane] = part
		return nil
	case "*":
		n, concurrent := strings.CutSuffix(rest, " at once")
		x.atOnce = concurrent
		x.repeat, err = strconv.Atoi(n)
		return err
	}
	return fmt.Errorf("a line starts with >, <, =, ~ or *, not %q", kind)
}

func (x *exchange) readRequest(rest string) error {
	name, value, ok := strings.Cut(rest, ":")
	if !ok {
		return fmt.Errorf("want a header: %q", rest)
	}
	value = strings.TrimSpace(value)
	if name == "body" {
		x.body = value
		return nil
	}
	x.header.Add(name, value)
	return nil
}

func (x *exchange) readAnswer(rest string) error {
	if rest == "open" || rest == "closed" || rest == "greeted" {
		x.tcp = rest
		return nil
	}
	if n, err := strconv.Atoi(rest); err == nil {
		x.status = n
		return nil
	}
	if name, ok := strings.CutPrefix(rest, "!"); ok {
		x.answer = append(x.answer, expectation{what: "absent", name: name})
		return nil
	}
	if part, ok := strings.CutPrefix(rest, "body~"); ok {
		x.answer = append(x.answer, expectation{what: "contains", value: strings.TrimSpace(part)})
		return nil
	}
	name, value, ok := strings.Cut(rest, ":")
	if !ok {
		return fmt.Errorf("want a status or a header: %q", rest)
	}
	what := "header"
	if name == "body" {
		what = "body"
	}
	x.answer = append(x.answer, expectation{what: what, name: name, value: strings.TrimSpace(value)})
	return nil
}

func (x *exchange) readUpstream(rest string) error {
	what, value, _ := strings.Cut(rest, " ")
	switch what {
	case "endpoints", "statuses":
		list := strings.Fields(value)
		slices.Sort(list)
		if what == "endpoints" {
			x.endpoints = list
		} else {
			x.statuses = list
		}
	case "share":
		var s share
		if _, err := fmt.Sscan(value, &s.endpoint, &s.percent, &s.withins); err != nil {
			return err
		}
		x.shares = append(x.shares, s)
	case "mirrored":
		x.mirrored = strings.Fields(value)
	case "flag":
		var found bool
		if x.flag, x.logger, found = strings.Cut(value, " at "); !found {
			x.logger = "client"
		}
	case "log", "no-log":
		l := logged{part: value, at: "client", absent: what == "no-log"}
		if i := strings.LastIndex(value, " at "); i >= 0 {
			l.part, l.at = value[:i], value[i+len(" at "):]
		}
		x.logged = append(x.logged, l)
	case "header", "header~", "no-header":
		name, v, _ := strings.Cut(value, ":")
		x.upstream = append(x.upstream, expectation{what: what, name: name, value: strings.TrimSpace(v)})
	case "method", "path", "host", "proto", "body":
		x.upstream = append(x.upstream, expectation{what: what, value: value})
	default:
		return fmt.Errorf("unknown expectation %q", what)
	}
	return nil
}
