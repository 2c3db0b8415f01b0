package accesslog

import (
	"net/netip"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/telemetry/attribute"
)

type everyHeader struct{}

func (everyHeader) Get(string) ([]byte, bool) { return []byte("7"), true }

// What is said not to be known is not, and all else is: users are told by that list.
func TestWhatIsKnown(t *testing.T) {
	at := Address{AddrPort: netip.MustParseAddrPort("10.0.0.1:80")}
	full := Attributes{&Record{
		Start: time.Now(), Protocol: "HTTP/1.1", Request: everyHeader{}, Response: everyHeader{}, Trailers: everyHeader{}, Code: 200, Flags: "UF", Details: "d", Termination: "t", UpstreamFailure: "f", Received: 1,
		Sent: 1, Duration: time.Second, Attempts: 1, UpstreamHost: at, UpstreamRemote: at, UpstreamLocal: at, Cluster: "c", Local: at, Remote: at, DirectRemote: at, ServerName: "s", RouteName: "r", PeerURI: "u",
		LocalURI: "l", PeerSubject: "p", TLSVersion: "TLSv1.3", TLSCipher: "x", UpstreamPeerURI: "u", ConnectionID: 1, VirtualHost: "v", UpstreamTLSVersion: "TLSv1.3", GRPC: 1,
	}}
	for _, n := range attribute.All() {
		if v, ok := full.Attribute(n); ok == n.EnvoyOnly() {
			t.Errorf("%s is %v, and it is said to be Envoy's alone: %v", n, v, n.EnvoyOnly())
		}
	}
}
