// Package xds is the vocabulary of the xDS wire: the name of a resource, its encoded bytes with their version, and the type URLs that order matters for.
//
// In: messages that a compiler built. Out: immutable Resources whose bytes every stream shares. It knows nothing of Istio, of the mesh or of what is inside a
// resource. Everything is immutable after it was made and safe for concurrent use. The protocol is in xds/session, its bytes in xds/wire, the client in xds/client.
package xds

import "strings"

// The type URLs of the resources that Heddle serves or asks for (xDS v3, and Istio's own).
const (
	prefix = "type.googleapis.com/"

	Cluster   = prefix + "envoy.config.cluster.v3.Cluster"
	Endpoints = prefix + "envoy.config.endpoint.v3.ClusterLoadAssignment"
	Listener  = prefix + "envoy.config.listener.v3.Listener"
	Route     = prefix + "envoy.config.route.v3.RouteConfiguration"
	// VirtualHost resources are named ROUTE-CONFIGURATION/HOST.
	VirtualHost = prefix + "envoy.config.route.v3.VirtualHost"
	Secret      = prefix + "envoy.extensions.transport_sockets.tls.v3.Secret"
	Extension   = prefix + "envoy.config.core.v3.TypedExtensionConfig"
	NameTable   = prefix + "istio.networking.nds.v1.NameTable"
	// Health is no resource: proxies say with it what they found out about their workload. A request with error_detail says that it is not well.
	Health = prefix + "istio.v1.HealthInformation"
)

// Name names a resource: its type and its name within the type.
type Name struct{ TypeURL, Name string }

// String is SHORT-TYPE NAME, for logs and tests.
func (n Name) String() string { return ShortType(n.TypeURL) + " " + n.Name }

// ShortType is the short name of a type that metrics, logs and istioctl use (cds, lds, ...), or the last part of an unknown type URL.
func ShortType(typeURL string) string {
	switch typeURL {
	case Cluster:
		return "cds"
	case Endpoints:
		return "eds"
	case Listener:
		return "lds"
	case Route:
		return "rds"
	case VirtualHost:
		return "vhds"
	case Secret:
		return "sds"
	case Extension:
		return "ecds"
	case NameTable:
		return "nds"
	}
	return typeURL[strings.LastIndexAny(typeURL, "./")+1:]
}

// RouteOf is the route configuration that a virtual host's resource name belongs to, and false for a name without one.
func RouteOf(virtualHost string) (route string, ok bool) {
	i := strings.LastIndexByte(virtualHost, '/')
	if i < 0 {
		return "", false
	}
	return virtualHost[:i], true
}
