package wire

import (
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/heddle-mesh/heddle/xds/session"
)

// longestError bounds what is kept of a client's error text.
const longestError = 8 << 10

// DeltaRequest reads the incremental form.
func DeltaRequest(r *discoveryv3.DeltaDiscoveryRequest) session.Request {
	return session.Request{
		TypeURL: r.GetTypeUrl(), Nonce: r.GetResponseNonce(), Rejected: r.GetErrorDetail() != nil, Error: shorten(r.GetErrorDetail().GetMessage()),
		Subscribe: r.GetResourceNamesSubscribe(), Unsubscribe: r.GetResourceNamesUnsubscribe(), Initial: r.GetInitialResourceVersions(),
	}
}

// WorldRequest reads the state-of-the-world form.
func WorldRequest(r *discoveryv3.DiscoveryRequest) session.Request {
	return session.Request{
		TypeURL: r.GetTypeUrl(), Nonce: r.GetResponseNonce(), Rejected: r.GetErrorDetail() != nil, Error: shorten(r.GetErrorDetail().GetMessage()),
		Names: r.GetResourceNames(),
	}
}

func shorten(s string) string {
	if len(s) > longestError {
		return s[:longestError]
	}
	return s
}
