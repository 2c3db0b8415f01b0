package tap

import (
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/telemetry/attribute"
)

// attributes gives expressions what is shown of an event: a header that is masked is "[redacted]" to them too.
type attributes struct{ *Event }

// Attribute implements attribute.Source.
func (a attributes) Attribute(n attribute.Name) (any, bool) {
	if n.Key != "" {
		switch n.Root + "." + n.Field {
		case "request.headers":
			return headerOf(a.Request, n.Key)
		case "response.headers":
			return headerOf(a.Response, n.Key)
		}
		return nil, false
	}
	switch n.Root {
	case "request":
		return a.request(n.Field)
	case "response":
		return a.response(n.Field)
	case "source":
		return end(a.Downstream, n.Field)
	case "upstream":
		if n.Field == "request_attempt_count" {
			return int64(a.Attempts), true
		}
		return end(a.Endpoint, n.Field)
	case "connection":
		switch n.Field {
		case "mtls":
			return a.MTLS, true
		case "uri_san_peer_certificate":
			return text(a.Peer)
		}
	case "xds":
		return a.xds(n.Field)
	}
	return nil, false
}

func (a attributes) request(field string) (any, bool) {
	path, query, _ := strings.Cut(a.Path, "?")
	switch field {
	case "path":
		return a.Path, true
	case "url_path":
		return path, true
	case "query":
		return query, true
	case "host":
		return text(a.Authority)
	case "method":
		return text(a.Method)
	case "id":
		return text(a.ID)
	case "protocol":
		return text(a.Protocol)
	case "time":
		return a.Start, true
	case "duration":
		return time.Duration(a.Duration * float64(time.Millisecond)), true
	case "size", "total_size":
		return int64(a.Received), true
	case "referer":
		return headerOf(a.Request, "referer")
	case "useragent":
		return headerOf(a.Request, "user-agent")
	}
	return nil, false
}

func (a attributes) response(field string) (any, bool) {
	switch field {
	case "code":
		return int64(a.Status), a.Status != 0
	case "code_details":
		return text(a.Details)
	case "grpc_status":
		if a.GRPC == nil {
			return nil, false
		}
		return int64(*a.GRPC), true
	case "size", "total_size":
		return int64(a.Sent), true
	}
	return nil, false
}

func (a attributes) xds(field string) (any, bool) {
	switch field {
	case "cluster_name":
		return text(a.Cluster)
	case "route_name":
		return text(a.Route)
	case "virtual_host_name":
		return text(a.Host)
	case "filter_chain_name":
		return text(a.Chain)
	case "listener_direction": // envoy.config.core.v3.TrafficDirection
		return map[string]int64{"inbound": 1, "outbound": 2}[a.Direction], true
	}
	return nil, false
}

func text(s string) (any, bool) { return s, s != "" }

func headerOf(list [][]string, name string) (any, bool) {
	for _, h := range list {
		if len(h) == 2 && h[0] == name {
			return h[1], true
		}
	}
	return nil, false
}

// end is the address of a connection's end, or its port.
func end(address, field string) (any, bool) {
	switch field {
	case "address":
		return text(address)
	case "port":
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, false
		}
		n, err := strconv.ParseInt(port, 10, 64)
		return n, err == nil
	}
	return nil, false
}

// answered are the attributes that an event has; what an expression names beyond them is refused.
func answered(n attribute.Name) bool {
	switch n.Root {
	case "request":
		return n.Field != "scheme"
	case "response":
		return n.Field != "flags" && n.Field != "trailers" && n.Field != "backend_latency"
	case "source", "xds":
		return true
	case "upstream":
		return n.Field == "address" || n.Field == "port" || n.Field == "request_attempt_count"
	case "connection":
		return n.Field == "mtls" || n.Field == "uri_san_peer_certificate"
	}
	return false
}
