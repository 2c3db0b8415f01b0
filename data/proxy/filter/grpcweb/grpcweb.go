// Package grpcweb lets browsers speak gRPC (gRPC-Web protocol; envoy.extensions.filters.http.grpc_web.v3): requests become gRPC, and trailers, which browsers do not see, go at the
// end of the body. The text form is in base64.
//
// In: an exchange whose request is gRPC-Web; others pass. Out: a gRPC request, and a gRPC-Web response. Safe for concurrent use.
package grpcweb

import (
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
)

var (
	accept             = codec.MakeName("accept")
	grpcAcceptEncoding = codec.MakeName("grpc-accept-encoding")
)

// Filter is the filter; it has no configuration.
type Filter struct{}

const (
	plain     = "application/grpc"
	web       = "application/grpc-web"
	webProto  = "application/grpc-web+proto"
	text      = "application/grpc-web-text"
	textProto = "application/grpc-web-text+proto"
)

// Request implements stream.Filter.
func (*Filter) Request(x *stream.Exchange) stream.Verdict {
	h := &x.Request
	kind, _ := h.Value(codec.ContentType)
	encoded := false
	switch string(kind) {
	case web, webProto:
	case text, textProto:
		encoded = true
	default:
		return stream.Continue
	}
	wanted, _ := h.Value(accept)
	x.SetWeb(stream.Web{On: true, Text: string(wanted) == text || string(wanted) == textProto})
	h.Del(codec.ContentLength)
	h.Length = -1
	h.SetString(codec.ContentType, plain)
	h.SetString(codec.TE, "trailers")
	h.SetString(grpcAcceptEncoding, "identity")
	if encoded && !x.RequestEnded() {
		if why := x.TransformRequest(&decoder{}); why != "" {
			x.Reply(400, why, "request_body_broken")
			return stream.Responded
		}
	}
	return stream.Continue
}

// Response implements stream.ResponseFilter. What a response that is not gRPC says is in its head by now.
func (*Filter) Response(x *stream.Exchange) {
	w, h := x.Web(), &x.Response
	if !w.On {
		return
	}
	if h.SetString(codec.ContentType, webProto); w.Text {
		h.SetString(codec.ContentType, textProto)
	}
	if x.ResponseEnded() {
		return
	}
	h.Del(codec.ContentLength)
	h.Length = -1
	x.TransformResponse(&encoder{text: w.Text})
}
