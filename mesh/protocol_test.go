package mesh

import "testing"

func TestSelectProtocol(t *testing.T) {
	for _, c := range []struct {
		number                uint16
		transport, name, appP string
		want                  Protocol
	}{
		{80, "TCP", "http", "", HTTP},
		{80, "TCP", "HTTP-web", "", HTTP},
		{80, "TCP", "httpweb", "", Auto},
		{80, "TCP", "http2-x", "", HTTP2},
		{80, "TCP", "grpc", "", GRPC},
		{80, "TCP", "grpc-web", "", GRPCWeb},
		{80, "TCP", "grpc-web-x", "", GRPCWeb},
		{80, "TCP", "tcp-http", "", TCP},
		{80, "TCP", "http", "tcp", TCP},
		{80, "TCP", "", "kubernetes.io/h2c", HTTP2},
		{80, "TCP", "http", "example.com/own", HTTP},
		{53, "UDP", "http", "http", UDP},
		{3306, "TCP", "", "", TCP},
		{3306, "TCP", "http", "", HTTP},
		{8443, "TCP", "https-web", "", HTTPS},
		{8080, "TCP", "web", "", Auto},
	} {
		if got := SelectProtocol(c.number, c.transport, c.name, c.appP); got != c.want {
			t.Errorf("SelectProtocol(%d, %q, %q, %q) = %v, want %v", c.number, c.transport, c.name, c.appP, got, c.want)
		}
	}
}
