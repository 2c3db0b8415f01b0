package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// overlaps notes which listeners for HTTPS share a port and may get each other's requests, because a client that has a connection to one uses it for the host of another: the hosts of
// one are among those of the other, or its certificate is good for them. Such requests are answered with 421 (ListenerConditionOverlappingTLSConfig).
func overlaps(states []listenerState) {
	for i := range states {
		for j := range states {
			a, b := &states[i], &states[j]
			if i == j || a.server.Port != b.server.Port || a.server.Protocol != mesh.HTTPS || b.server.Protocol != mesh.HTTPS || a.conflict != "" || b.conflict != "" {
				continue
			}
			switch {
			case covers(a.names, b.hostname), covers(b.names, a.hostname):
				a.overlap, a.overlapMessage = string(gwv1.ListenerReasonOverlappingCertificates), fmt.Sprintf("a certificate of listener %s or %s is good for hosts of the other", a.server.Name, b.server.Name)
			case a.overlap == "" && (within(a.hostname, b.hostname) || within(b.hostname, a.hostname)):
				a.overlap, a.overlapMessage = string(gwv1.ListenerReasonOverlappingHostnames), fmt.Sprintf("hosts of listener %s are among those of listener %s, or the reverse", a.server.Name, b.server.Name)
			}
		}
	}
}

// within says whether a listener's hosts are among those of another; "" is every host.
func within(inner, outer mesh.Host) bool { return outer == "" || inner != "" && outer.Matches(inner) }

// covers says whether one of the names of a certificate is good for a listener's host, or for one that its wildcard stands for (RFC 9525 section 6.3: a wildcard is one label).
func covers(names []string, host mesh.Host) bool {
	return host != "" && slices.ContainsFunc(names, func(n string) bool {
		n = strings.ToLower(n)
		if n == string(host) {
			return true
		}
		_, rest, ok := strings.Cut(string(host), ".")
		return ok && strings.HasPrefix(n, "*.") && n[2:] == rest || host.IsWildcard() && host.Matches(mesh.Host(n))
	})
}
