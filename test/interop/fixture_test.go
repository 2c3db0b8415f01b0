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
//	-- mesh.yaml --      objects of the folder source
//	-- requests.txt --   paragraphs; see exchange
type fixture struct {
	name, about string
	mesh        []byte
	exchanges   []exchange
}

// exchange is one request line and its expectations:
//
//	> GET http://reviews:8080/path     the request; @10.78.1.1 after it dials that address instead of the name's
//	> header: value
//	> body: text
//	< 200                              the answer
//	< header: value                    (value may be * for "any")
//	< !header                          must be absent
//	< body: text                       the whole body; ~ instead of : for a part
//	= method GET | path /x | host h | header name: value | no-header name | body text     what the upstream saw
//	= endpoints a b                    over `* N` repetitions, exactly this set
//	= share a 90 5                     of all answers, a gave 90 % within 5 points
//	= mirrored b                       endpoint b saw a copy
//	= flag UF                          response flag in the proxy's access log
//	* 20                               repetitions
type exchange struct {
	line      int
	method    string
	url       string
	dial      string
	header    http.Header
	body      string
	repeat    int
	status    int
	answer    []expectation // of the response
	upstream  []expectation // of what the upstream saw
	endpoints []string
	shares    []share
	mirrored  []string
	flag      string
	tcp       string // for tcp:// URLs: what is sent
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
	for _, file := range a.Files {
		switch file.Name {
		case "mesh.yaml":
			f.mesh = file.Data
		case "requests.txt":
			f.exchanges = exchanges(t, name, string(file.Data))
		default:
			t.Fatalf("%s: unknown section %s", name, file.Name)
		}
	}
	if f.about == "" || len(f.exchanges) == 0 {
		t.Fatalf("%s: a fixture needs a comment and requests", name)
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
		if kind == ">" && (len(all) == 0 || strings.Contains(rest, "://")) && !strings.HasPrefix(rest, "body:") && requestLine(rest) {
			all = append(all, exchange{line: n, repeat: 1, header: http.Header{}})
			all[len(all)-1].request(rest)
			continue
		}
		if len(all) == 0 {
			t.Fatalf("%s: requests.txt line %d comes before the first request", name, n)
		}
		if err := all[len(all)-1].read(kind, rest); err != nil {
			t.Fatalf("%s: requests.txt line %d: %v", name, n, err)
		}
	}
	return all
}

func requestLine(s string) bool {
	method, _, _ := strings.Cut(s, " ")
	return method == strings.ToUpper(method)
}

func (x *exchange) request(line string) {
	parts := strings.Fields(line)
	x.method, x.url = parts[0], parts[1]
	if len(parts) > 2 {
		x.dial = strings.TrimPrefix(parts[2], "@")
	}
}

func (x *exchange) read(kind, rest string) error {
	switch kind {
	case ">":
		return x.readRequest(rest)
	case "<":
		return x.readAnswer(rest)
	case "=":
		return x.readUpstream(rest)
	case "*":
		n, err := strconv.Atoi(rest)
		x.repeat = n
		return err
	}
	return fmt.Errorf("a line starts with >, <, = or *, not %q", kind)
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
	case "endpoints":
		x.endpoints = strings.Fields(value)
		slices.Sort(x.endpoints)
	case "share":
		var s share
		if _, err := fmt.Sscan(value, &s.endpoint, &s.percent, &s.withins); err != nil {
			return err
		}
		x.shares = append(x.shares, s)
	case "mirrored":
		x.mirrored = strings.Fields(value)
	case "flag":
		x.flag = value
	case "header", "no-header", "method", "path", "host", "body":
		name, v, _ := strings.Cut(value, ":")
		if what != "header" && what != "no-header" {
			name, v = "", value
		}
		x.upstream = append(x.upstream, expectation{what: what, name: name, value: strings.TrimSpace(v)})
	default:
		return fmt.Errorf("unknown expectation %q", what)
	}
	return nil
}
