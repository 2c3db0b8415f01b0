package attribute

import (
	"strings"
	"testing"
	"time"
)

type headers map[string]string

func (h headers) Text(name string) (string, bool) { v, ok := h[name]; return v, ok }

type request struct{}

func (request) Attribute(root, field string) (any, bool) {
	v, ok := map[string]any{
		"request.path": "/a?b=c", "request.url_path": "/a", "request.method": "GET", "request.size": int64(12), "request.headers": headers{"x-user": "anna"},
		"response.code": int64(503), "request.duration": 1500 * time.Millisecond, "connection.mtls": true, "destination.port": int64(8080),
	}[root+"."+field]
	return v, ok
}

// What Envoy's own formatter gives for the same attributes: test/interop compares the two.
func TestText(t *testing.T) {
	for text, want := range map[string]string{
		`request.method`:                                       "GET",
		`request["method"]`:                                    "",
		`request.headers["x-user"]`:                            "anna",
		`request.headers["x-other"]`:                           "",
		`"x-other" in request.headers ? "yes":"no"`:            "no",
		`has(request.headers.nothing)`:                         "false",
		`request.size + 5`:                                     "17",
		`string(destination.port)`:                             "8080",
		`response.code >= 500`:                                 "true",
		`response.code`:                                        "503",
		`request.host`:                                         "",
		`request.url_path.startsWith("/a") && connection.mtls`: "true",
		`[1, 2].exists(x, x == 2)`:                             "true",
		`request.duration > duration("1s")`:                    "true",
		`"a" + 1`:                                              "",
		`[request.method]`:                                     "",
	} {
		e, err := Parse(text)
		if want == "" && err != nil {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, ok := e.Text(request{}); got != want || ok != (want != "") {
			t.Errorf("%s is %q %v, want %q", text, got, ok, want)
		}
		if e.True(request{}) != (want == "true") {
			t.Errorf("%s is true: %v", text, e.True(request{}))
		}
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		`request.method ==`:  "the expression is not CEL: <input>:1:18: Syntax error",
		`request.nope`:       "there is no attribute request.nope",
		`nothing.at == 1`:    "there is no attribute nothing",
		`request == {}`:      "request is asked for as a whole",
		`request.path.nope(`: "the expression is not CEL",
	} {
		if _, err := Parse(text); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// An expression that goes round for long is given up.
func TestBounded(t *testing.T) {
	list := "[" + strings.Repeat("1,", 60) + "1]"
	e, err := Parse(list + ".all(a, " + list + ".all(b, " + list + ".all(c, a+b+c > 0)))")
	if err != nil {
		t.Fatal(err)
	}
	if e.True(request{}) {
		t.Error("it was evaluated to its end")
	}
}

func TestUses(t *testing.T) {
	e, err := Parse(`request.host == "a" || request.headers["b"] == request.host`)
	if err != nil || strings.Join(e.Uses(), " ") != "request.headers request.host" {
		t.Errorf("uses %v, %v", e.Uses(), err)
	}
}
