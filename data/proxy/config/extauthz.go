package config

import "time"

// ExtAuthz is envoy.extensions.filters.http.ext_authz.v3.ExtAuthz: a server is asked about each request, which goes on only when it is allowed.
type ExtAuthz struct {
	Cluster string
	GRPC    bool // envoy.service.auth.v3.Authorization, else HTTP
	// Timeout of the question, 0 for none.
	Timeout time.Duration
	// Prefix goes in front of the path of the question (path_prefix); HTTP only.
	Prefix string
	// Headers of the request that the server is told (allowed_headers). Without any it is told all of them by gRPC, and none by HTTP but those that are always told.
	Headers []*StringMatch
	// Upstream are headers of an answer that allows, by HTTP, which the request gets (allowed_upstream_headers); Client are those of one that denies, which the client gets
	// (allowed_client_headers), all when it is nil.
	Upstream, Client []*StringMatch
	// Body is how long the body that the server is told may be, in bytes (max_request_bytes); 0: it is told none.
	Body uint32
	// StatusOnError is the answer when the server does not decide; 403 by default. FailOpen lets the request through then (failure_mode_allow).
	StatusOnError int
	FailOpen      bool
}
