package edge

import (
	"testing"

	"github.com/heddle-mesh/heddle/test/pair"
)

// TestGRPCRoutes: a route for gRPC takes what is gRPC, and not gRPC-Web, whose type begins alike.
func TestGRPCRoutes(t *testing.T) {
	f := file{routes: `[{match: {prefix: /, grpc: {}}, direct_response: {status: 200}}, {match: {prefix: /}, direct_response: {status: 404}}]`}
	both(t, f, hello, func(t *testing.T, p *pair.Proxy) {
		for kind, want := range map[string]bool{
			"application/grpc": true, "application/grpc+proto": true, "application/grpc-web": false, "application/grpc-web-text": false, "application/grpcx": false, "text/plain": false,
		} {
			r := get(t, p, "/", "Content-Type: "+kind)
			if got := r.StatusCode == 200 && r.Header.Get("grpc-status") != "12"; got != want {
				t.Errorf("%s: %d, grpc-status %q", kind, r.StatusCode, r.Header.Get("grpc-status"))
			}
		}
	})
}
