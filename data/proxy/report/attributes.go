package report

import (
	"bytes"
	"strconv"

	"github.com/heddle-mesh/heddle/data/proxy/accesslog"
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/telemetry/attribute"
)

// attributes are Envoy's of a request or connection, as far as its record tells them. It implements attribute.Source.
type attributes struct {
	r         *accesslog.Record
	direction config.Direction
}

// values are those of the expressions of metrics.
func values(m *config.Metrics, r *accesslog.Record, d config.Direction) string {
	list := make([]string, len(m.Expressions))
	for i, e := range m.Expressions {
		if e != nil {
			list[i], _ = e.Text(attributes{r, d})
		}
	}
	return Values(list)
}

// Attribute implements attribute.Source.
func (a attributes) Attribute(n attribute.Name) (any, bool) {
	if n.Key != "" {
		return a.text(n)
	}
	field := n.Field
	switch n.Root {
	case "request":
		return a.request(field)
	case "response":
		return a.response(field)
	case "source":
		return ofAddress(a.r.Remote, field)
	case "destination":
		return ofAddress(a.r.Local, field)
	case "connection":
		return a.connection(field)
	case "upstream":
		return a.upstream(field)
	case "xds":
		return a.xds(field)
	}
	return nil, false
}

// requestHeaders are the attributes that are headers.
var requestHeaders = map[string]string{"path": ":path", "host": ":authority", "scheme": ":scheme", "method": ":method", "referer": "referer", "useragent": "user-agent", "id": "x-request-id"}

func (a attributes) request(field string) (any, bool) {
	if a.r.Request == nil {
		return nil, false
	}
	if name, ok := requestHeaders[field]; ok {
		return header(a.r.Request, name)
	}
	switch field {
	case "url_path", "query":
		v, ok := a.r.Request.Get(":path")
		path, query, _ := bytes.Cut(v, []byte("?"))
		if field == "query" {
			path = query
		}
		return string(path), ok
	case "time":
		return a.r.Start, true
	case "protocol":
		return a.r.Protocol, a.r.Protocol != ""
	case "duration":
		return a.r.Duration, true
	case "size":
		if v, ok := a.r.Request.Get("content-length"); ok {
			if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
				return n, true
			}
		}
		return int64(a.r.Received), true
	case "total_size":
		return int64(a.r.ReceivedWire), true
	}
	return nil, false
}

func (a attributes) response(field string) (any, bool) {
	switch field {
	case "code":
		return int64(a.r.Code), a.r.Code != 0
	case "code_details":
		return a.r.Details, a.r.Details != ""
	case "grpc_status":
		if a.r.GRPC != 0 {
			return int64(a.r.GRPC - 1), true
		}
		return int64(codec.GRPCStatusOf(a.r.Code)), a.r.Code != 0 // as Envoy has it, of whatever was asked
	case "size":
		return int64(a.r.Sent), true
	case "total_size":
		return int64(a.r.SentWire), true
	}
	return nil, false
}

func (a attributes) connection(field string) (any, bool) {
	switch field {
	case "id":
		return int64(a.r.ConnectionID), a.r.ConnectionID != 0
	case "mtls":
		return a.r.PeerURI != "" || a.r.PeerSubject != "", true
	case "requested_server_name":
		return known(a.r.ServerName)
	case "tls_version":
		return known(a.r.TLSVersion)
	case "subject_peer_certificate":
		return known(a.r.PeerSubject)
	case "uri_san_peer_certificate":
		return known(a.r.PeerURI)
	case "uri_san_local_certificate":
		return known(a.r.LocalURI)
	case "termination_details":
		return known(a.r.Termination)
	}
	return nil, false
}

func (a attributes) upstream(field string) (any, bool) {
	switch field {
	case "address", "port":
		return ofAddress(a.r.UpstreamHost, field)
	case "local_address":
		return ofAddress(a.r.UpstreamLocal, "address")
	case "tls_version":
		return known(a.r.UpstreamTLSVersion)
	case "uri_san_peer_certificate":
		return known(a.r.UpstreamPeerURI)
	case "transport_failure_reason":
		return known(a.r.UpstreamFailure)
	case "request_attempt_count":
		return int64(a.r.Attempts), a.r.Attempts != 0
	}
	return nil, false
}

func (a attributes) xds(field string) (any, bool) {
	switch field {
	case "cluster_name":
		return known(a.r.Cluster)
	case "route_name":
		return known(a.r.RouteName)
	case "virtual_host_name":
		return known(a.r.VirtualHost)
	case "listener_direction": // envoy.config.core.v3.TrafficDirection
		if a.direction == config.Inbound {
			return int64(1), true
		}
		return int64(2), true
	}
	return nil, false
}

func ofAddress(at accesslog.Address, field string) (any, bool) {
	switch {
	case field == "address":
		return at.String(), at.String() != ""
	case at.IsValid():
		return int64(at.Port()), true
	}
	return nil, false
}

func known(s string) (any, bool) { return s, s != "" }

// text is a header or trailer.
func (a attributes) text(n attribute.Name) (any, bool) {
	switch {
	case n.Root == "request":
		return header(a.r.Request, n.Key)
	case n.Field == "trailers":
		return header(a.r.Trailers, n.Key)
	}
	return header(a.r.Response, n.Key)
}

func header(h accesslog.Headers, name string) (any, bool) {
	if h == nil {
		return nil, false
	}
	v, ok := h.Get(name)
	return string(v), ok
}

var _ attribute.Source = attributes{}
