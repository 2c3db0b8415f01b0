package attribute

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

type request struct{}

func (request) Attribute(n Name) (any, bool) {
	v, ok := map[string]any{
		"request.path": "/a?b=c", "request.url_path": "/a", "request.method": "GET", "request.size": int64(12), `request.headers["x-user"]`: "anna",
		"response.code": int64(503), "request.duration": 1500 * time.Millisecond, "connection.mtls": true, "destination.port": int64(8080),
	}[n.String()]
	return v, ok
}

// test/interop compares what comes of expressions on both data planes.
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
		`request.method ==`:             "the expression is not CEL: <input>:1:18: Syntax error",
		`request.nope`:                  "there is no attribute request.nope",
		`nothing.at == 1`:               "there is no attribute nothing",
		`request == {}`:                 "request is asked for as a whole",
		`request.path.nope(`:            "the expression is not CEL",
		`request.headers == {}`:         "of request.headers one is asked for by its name",
		`request.headers[request.path]`: "of request.headers one is asked for by its name",
		`request.headers["X-A"]`:        "of request.headers one is asked for by its name",
		`request.path.nope()`:           "there is no function nope",
		`nope(1)`:                       "there is no function nope",
		`xds.node`:                      "there is no attribute xds.node",
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
	e, err := Parse(`request.host == "a" || request.headers["b"] == request.host || "c" in request.headers || has(request.headers.d) || [1].exists(x, x == request.size)`)
	if err != nil {
		t.Fatal(err)
	}
	want := `[request.headers["b"] request.headers["c"] request.headers["d"] request.host request.size]`
	if got := fmt.Sprint(e.Uses()); got != want {
		t.Errorf("uses %s, want %s", got, want)
	}
}

// Stock Envoy refuses what it cannot evaluate, with the listener that it is in.
func TestUnknownToEnvoy(t *testing.T) {
	for text, want := range map[string]string{
		`string(response.code) == "200"`: "[string()]", `["a", "b"].exists(x, x == request.path)`: "[macros that go through a list, such as exists]",
		`int("5") == response.code && request.path.matches("a") && has(request.headers.a) && size(request.path) in [1, 2]`: "[]",
	} {
		e, err := Parse(text)
		if err != nil || fmt.Sprint(e.UnknownToEnvoy()) != want {
			t.Errorf("%s: %v %v, want %s", text, e, err, want)
		}
	}
}

// What Envoy writes of an attribute is read again.
func TestValue(t *testing.T) {
	for _, tc := range []struct {
		name Name
		text string
		want any
	}{
		{Name{Root: "request", Field: "path"}, "/a", "/a"}, {Name{Root: "response", Field: "code"}, "503", int64(503)}, {Name{Root: "connection", Field: "mtls"}, "true", true},
		{Name{Root: "request", Field: "duration"}, "1.5s", 1500 * time.Millisecond}, {Name{Root: "request", Field: "headers", Key: "a"}, "7", "7"},
	} {
		if got, ok := tc.name.Value(tc.text); !ok || got != tc.want {
			t.Errorf("%s is %v, want %v", tc.name, got, tc.want)
		}
	}
	if _, ok := (Name{Root: "response", Field: "code"}).Value("-"); ok {
		t.Error("a dash is a number")
	}
}
