package accesslog

import (
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/telemetry/attribute"
)

type given map[string]string

func (g given) Get(name string) ([]byte, bool) { v, ok := g[name]; return []byte(v), ok }

// TestExpressions: which records an expression keeps. What it cannot know of one keeps it out.
func TestExpressions(t *testing.T) {
	r := &Record{
		Request: given{":path": "/a?b", ":method": "GET", ":authority": "shop", "x-a": "1"}, Response: given{"server": "s"}, Code: 503, Flags: "UF,URX", Protocol: "HTTP/1.1", Duration: time.Second, Received: 3,
		Cluster: "outbound|80||a", RouteName: "r", VirtualHost: "v", PeerURI: "spiffe://a", TLSVersion: "TLSv1.3", GRPC: 15, Details: "d", Attempts: 2,
	}
	for text, want := range map[string]bool{
		"response.code >= 400": true, "response.code == 200": false, "request.path == '/a?b' && request.url_path == '/a' && request.query == 'b'": true,
		"request.headers['x-a'] == '1'": true, "'x-a' in request.headers": true, "request.headers['x-none'] == '1'": false, "has(request.headers.server)": false, "response.headers['server'] == 's'": true,
		"request.method == 'GET' && request.host == 'shop' && request.protocol == 'HTTP/1.1'": true, "response.flags == 32800": true, "response.grpc_status == 14": true,
		"request.duration > duration('0.5s') && request.size == 3": true, "connection.mtls && connection.uri_san_peer_certificate == 'spiffe://a'": true,
		"xds.cluster_name.startsWith('outbound') && xds.route_name == 'r' && xds.virtual_host_name == 'v'": true, "upstream.request_attempt_count > 1": true, "response.code_details == 'd'": true,
		"connection.termination_details == ''": false, "upstream.address == ''": false, "response.code": false,
	} {
		e, err := attribute.Parse(text)
		if err != nil {
			t.Fatal(text, err)
		}
		if got := Kept(e)(r); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
