package accesslog

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/telemetry/attribute"
)

// Attributes gives what expressions ask of a record.
type Attributes struct{ *Record }

var _ attribute.Source = Attributes{}

// Attribute implements attribute.Source.
func (a Attributes) Attribute(n attribute.Name) (any, bool) {
	if n.Key != "" {
		return a.text(n)
	}
	field := n.Field
	switch n.Root {
	case "request":
		return a.request(field)
	case "response":
		return a.response(field)
	case "connection":
		return a.connection(field)
	case "upstream":
		return a.upstream(field)
	case "source":
		return a.at(field, a.Remote)
	case "destination":
		return a.at(field, a.Local)
	case "xds":
		switch field {
		case "cluster_name":
			return known(a.Cluster)
		case "route_name":
			return known(a.RouteName)
		case "virtual_host_name":
			return known(a.VirtualHost)
		case "listener_direction": // envoy.config.core.v3.TrafficDirection
			if a.Inbound {
				return int64(1), true
			}
			return int64(2), true
		}
	}
	return nil, false
}

// text is a header.
func (a Attributes) text(n attribute.Name) (any, bool) {
	h := a.Request
	switch {
	case n.Root == "response" && n.Field == "headers":
		h = a.Response
	case n.Root == "response":
		h = a.Trailers
	}
	return headerOf(h, n.Key)
}

func known(s string) (any, bool) { return s, s != "" }

func headerOf(h Headers, name string) (any, bool) {
	if h == nil {
		return nil, false
	}
	v, ok := h.Get(name)
	return string(v), ok
}

var requestHeaders = map[string]string{"path": ":path", "host": ":authority", "scheme": ":scheme", "method": ":method", "referer": "referer", "useragent": "user-agent", "id": "x-request-id"}

func (a Attributes) request(field string) (any, bool) {
	if name, ok := requestHeaders[field]; ok {
		return headerOf(a.Request, name)
	}
	switch field {
	case "url_path", "query":
		if a.Request == nil {
			return nil, false
		}
		path, ok := a.Request.Get(":path")
		before, after, _ := bytes.Cut(path, []byte("?"))
		if field == "query" {
			return string(after), ok
		}
		return string(before), ok
	case "time":
		return a.Start, true
	case "protocol":
		return known(a.Protocol)
	case "duration":
		return a.Duration, true
	case "size":
		if v, ok := headerOf(a.Request, "content-length"); ok {
			if n, err := strconv.ParseInt(v.(string), 10, 64); err == nil {
				return n, true
			}
		}
		return int64(a.Received), a.Request != nil
	case "total_size":
		return int64(a.ReceivedWire), a.Request != nil
	}
	return nil, false
}

func (a Attributes) response(field string) (any, bool) {
	switch field {
	case "code":
		return int64(a.Code), a.Code != 0
	case "code_details":
		return known(a.Details)
	case "flags":
		return flagBits(a.Flags), true
	case "grpc_status":
		if a.GRPC > 0 {
			return int64(a.GRPC) - 1, true
		}
		return int64(codec.GRPCStatusOf(a.Code)), a.Code != 0 // as Envoy has it, of whatever was asked
	case "size":
		return int64(a.Sent), true
	case "total_size":
		return int64(a.SentWire), true
	}
	return nil, false
}

func (a Attributes) connection(field string) (any, bool) {
	switch field {
	case "id":
		return int64(a.ConnectionID), true
	case "mtls":
		return a.TLSVersion != "" && a.PeerURI+a.PeerSubject != "", true
	case "requested_server_name":
		return known(a.ServerName)
	case "tls_version":
		return known(a.TLSVersion)
	case "subject_peer_certificate":
		return known(a.PeerSubject)
	case "uri_san_local_certificate":
		return known(a.LocalURI)
	case "uri_san_peer_certificate":
		return known(a.PeerURI)
	case "termination_details":
		return known(a.Termination)
	}
	return nil, false
}

func (a Attributes) upstream(field string) (any, bool) {
	switch field {
	case "tls_version":
		return known(a.UpstreamTLSVersion)
	case "uri_san_peer_certificate":
		return known(a.UpstreamPeerURI)
	case "local_address":
		return known(a.UpstreamLocal.String())
	case "transport_failure_reason":
		return known(a.UpstreamFailure)
	case "request_attempt_count":
		return int64(a.Attempts), a.Attempts != 0
	}
	return a.at(field, a.UpstreamHost)
}

func (Attributes) at(field string, at Address) (any, bool) {
	switch field {
	case "address":
		return known(at.String())
	case "port":
		return int64(at.Port()), at.IsValid()
	}
	return nil, false
}

// bits are Envoy's numbers of the response flags, by their short names.
var bits = map[string]uint{
	"UH": 1, "UT": 2, "LR": 3, "UR": 4, "UF": 5, "UC": 6, "UO": 7, "NR": 8, "DI": 9, "FI": 10, "DC": 14, "URX": 15, "SI": 16, "DPE": 18, "UMSDR": 19, "DT": 22, "UPE": 23, "NC": 24, "OM": 25, "DR": 28,
}

func flagBits(flags string) (n int64) {
	for f := range strings.SplitSeq(flags, ",") {
		if bit, ok := bits[f]; ok {
			n |= 1 << bit
		}
	}
	return n
}

// Kept is a Log's Keep for an expression.
func Kept(e *attribute.Expression) func(*Record) bool {
	return func(r *Record) bool { return e.True(Attributes{r}) }
}
