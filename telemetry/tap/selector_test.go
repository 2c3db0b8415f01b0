package tap

import (
	"net/url"
	"strings"
	"testing"
)

func event() *Event {
	refused := 7
	return &Event{
		ID: "one", Trace: "ab", Direction: "inbound", Downstream: "10.0.0.7:41000", Endpoint: "127.0.0.1:8080", Peer: "spiffe://cluster.local/ns/shop/sa/web", MTLS: true, Protocol: "HTTP/2",
		Source:      Side{Workload: "web-v1", Namespace: "shop", Service: "web", Principal: "spiffe://cluster.local/ns/shop/sa/web"},
		Destination: Side{Workload: "cart-v1", Namespace: "store", Service: "cart.store.svc.cluster.local"},
		Method:      "GET", Authority: "Cart", Path: "/items?id=1", Request: [][]string{{"x-user", "anna"}, {"authorization", "[redacted]"}}, Status: 403, GRPC: &refused,
		Route: "items", Cluster: "inbound|8080||", Duration: 250, Attempts: 1,
	}
}

func TestSelectors(t *testing.T) {
	for query, want := range map[string]bool{
		"":                  true,
		"from=web-v1":       true,
		"from=shop/web-v1":  true,
		"from=store/web-v1": false,
		"from=10.0.0.0/8":   true,
		"from=10.0.0.7":     true,
		"from=10.0.0.8":     false,
		"from=spiffe://cluster.local/ns/shop/sa/web": true,
		"to=cart":                         true,
		"to=cart.store.svc.cluster.local": true,
		"to=car":                          false,
		"not.from=web-v1":                 false,
		"not.to=web-v1":                   true,
		"from=other&from=web":             true,
		"not.from=other&not.from=web":     false,
		"namespace=store":                 true,
		"from_namespace=store":            false,
		"method=get":                      true,
		"path=/items":                     true,
		"path=/item/":                     false,
		"authority=cart":                  true,
		"status=403":                      true,
		"status=4xx":                      true,
		"status=5xx":                      false,
		"slower=200ms":                    true,
		"slower=1s":                       false,
		"header=x-user":                   true,
		"header=X-User: anna":             true,
		"header=x-user:bert":              false,
		"header=authorization:secret":     false,
		"failed=true":                     false, // refused, which is the client's doing
		"failed=false":                    true,
		"request_id=one&trace_id=AB":      true,
		"direction=outbound":              false,
		"cel=response.code == 403":        true,
		`cel=request.headers["x-user"] == "bert"`:             false,
		`cel=request.url_path == "/items" && connection.mtls`: true,
	} {
		q, err := url.ParseQuery(strings.NewReplacer("+", "%2B", "==", "%3D%3D", "&&", "%26%26", ": ", ":%20").Replace(query))
		if err != nil {
			t.Fatal(query, err)
		}
		s, err := Parse(q)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got := s.Matches(event()); got != want {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
}

func TestWrongConditionsAreRefused(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"status", "many", `status: "many" is not a code such as 404, or a class such as 5xx`},
		{"slower", "soon", `slower: "soon" is not a duration such as 200ms`},
		{"direction", "up", `direction: "up" is not inbound, outbound or unspecified`},
		{"from", "", `from: "" is not a workload`},
		{"form", "web", "form: unknown; known are from, to,"},
		{"cel", "response.code ==", "cel: "},
		{"cel", `request.scheme == "http"`, "is not told of tapped requests"},
		{"not.cel", "response.code == 200", "negates itself"},
	} {
		if _, err := Parse(url.Values{c.key: {c.value}}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%s: %v, want %q", c.key, c.value, err, c.want)
		}
	}
}

func TestSelectorsThatNeedHeaders(t *testing.T) {
	for query, want := range map[string]bool{"header": true, "not.header": true, "path": false} {
		s, err := Parse(url.Values{query: {"x"}})
		if err != nil || s.NeedsHeaders() != want {
			t.Errorf("%s: %v, %v", query, s.NeedsHeaders(), err)
		}
	}
	s, err := Parse(url.Values{"cel": {`request.headers["x-user"] == "anna"`}})
	if err != nil || !s.NeedsHeaders() {
		t.Error("an expression about a header needs headers", err)
	}
}
