package attribute

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind is the type of an attribute's values.
type kind uint8

const (
	ofText kind = iota
	ofNumber
	ofBool
	ofDuration
	ofTime
	ofTexts // under names
)

// known are the attributes, by their roots: those of Envoy's page but for metadata, which is no value of a label.
var known = map[string]map[string]kind{
	"request": {
		"path": ofText, "url_path": ofText, "host": ofText, "scheme": ofText, "method": ofText, "headers": ofTexts, "referer": ofText, "useragent": ofText, "time": ofTime, "id": ofText,
		"protocol": ofText, "query": ofText, "duration": ofDuration, "size": ofNumber, "total_size": ofNumber,
	},
	"response": {
		"code": ofNumber, "code_details": ofText, "flags": ofNumber, "grpc_status": ofNumber, "headers": ofTexts, "trailers": ofTexts, "size": ofNumber, "total_size": ofNumber, "backend_latency": ofDuration,
	},
	"source":      {"address": ofText, "port": ofNumber},
	"destination": {"address": ofText, "port": ofNumber},
	"connection": {
		"id": ofNumber, "mtls": ofBool, "requested_server_name": ofText, "tls_version": ofText, "subject_local_certificate": ofText, "subject_peer_certificate": ofText,
		"dns_san_local_certificate": ofText, "dns_san_peer_certificate": ofText, "uri_san_local_certificate": ofText, "uri_san_peer_certificate": ofText,
		"sha256_peer_certificate_digest": ofText, "transport_failure_reason": ofText, "termination_details": ofText,
	},
	"upstream": {
		"address": ofText, "port": ofNumber, "tls_version": ofText, "subject_local_certificate": ofText, "subject_peer_certificate": ofText, "dns_san_local_certificate": ofText,
		"dns_san_peer_certificate": ofText, "uri_san_local_certificate": ofText, "uri_san_peer_certificate": ofText, "sha256_peer_certificate_digest": ofText, "local_address": ofText,
		"transport_failure_reason": ofText, "request_attempt_count": ofNumber, "cx_pool_ready_duration": ofDuration,
	},
	"xds": {"cluster_name": ofText, "listener_direction": ofNumber, "route_name": ofText, "virtual_host_name": ofText, "filter_chain_name": ofText},
}

// Name is an attribute: a root and a field, such as request.path, or, of headers and trailers, one text of it.
type Name struct {
	Root, Field string
	Key         string // in lower case
}

// String is how the attribute is written in an expression; it is what Envoy's formatter %CEL()% is given.
func (n Name) String() string {
	if n.Key == "" {
		return n.Root + "." + n.Field
	}
	return n.Root + "." + n.Field + "[" + strconv.Quote(n.Key) + "]"
}

// Value reads a value of the attribute from the text that Envoy's formatter writes; false when it is none.
func (n Name) Value(text string) (any, bool) {
	var v any = text
	var err error
	switch known[n.Root][n.Field] {
	case ofNumber:
		v, err = strconv.ParseInt(text, 10, 64)
	case ofBool:
		v, err = strconv.ParseBool(text)
	case ofDuration:
		v, err = time.ParseDuration(text)
	case ofTime:
		v, err = time.Parse(time.RFC3339Nano, text)
	}
	return v, err == nil
}

// envoyOnly are attributes that heddle-proxy does not know.
var envoyOnly = []string{
	"connection.dns_san_local_certificate", "connection.dns_san_peer_certificate", "connection.sha256_peer_certificate_digest", "connection.subject_local_certificate", "connection.transport_failure_reason",
	"response.backend_latency",
	"upstream.cx_pool_ready_duration", "upstream.dns_san_local_certificate", "upstream.dns_san_peer_certificate", "upstream.sha256_peer_certificate_digest",
	"upstream.subject_local_certificate", "upstream.subject_peer_certificate", "upstream.uri_san_local_certificate", "xds.filter_chain_name",
}

// EnvoyOnly says whether heddle-proxy does not know an attribute.
func (n Name) EnvoyOnly() bool { return slices.Contains(envoyOnly, n.String()) }

// All are the attributes that are no texts under names, ordered.
func All() (out []Name) {
	for root, fields := range known {
		for field, of := range fields {
			if of != ofTexts {
				out = append(out, Name{Root: root, Field: field})
			}
		}
	}
	slices.SortFunc(out, func(a, b Name) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// UnknownToHeddle are the attributes of a list that heddle-proxy does not know.
func UnknownToHeddle(uses []Name) (out []string) {
	for _, n := range uses {
		if n.EnvoyOnly() {
			out = append(out, n.String())
		}
	}
	return out
}

// UnknownToEnvoy is what the expression has that stock Envoy's evaluator (1.40, as it is built) does not: it refuses the configuration that has it.
func (e *Expression) UnknownToEnvoy() []string { return e.strange }
