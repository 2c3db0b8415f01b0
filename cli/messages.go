package cli

// Dumps name these messages by Any; without them they could not be read.
import (
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"                // named by Any in dumps
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"              // named by Any in dumps
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"               // named by Any in dumps
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"                  // named by Any in dumps
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"                 // named by Any in dumps
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"                  // named by Any in dumps
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"                // named by Any in dumps
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"    // named by Any in dumps
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"      // named by Any in dumps
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"     // named by Any in dumps
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"               // named by Any in dumps
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"          // named by Any in dumps
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3" // named by Any in dumps
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"       // named by Any in dumps
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"              // named by Any in dumps
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"                     // named by Any in dumps
)
