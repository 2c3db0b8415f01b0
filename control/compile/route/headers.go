package route

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/heddle-mesh/heddle/mesh"
)

// editing is Envoy's form of header edits. A request's host header is rewritten, not edited.
type editing struct {
	requestAdd, responseAdd       []*corev3.HeaderValueOption
	requestRemove, responseRemove []string
	host                          string
}

func edits(in mesh.HeaderEdits) (out editing) {
	for _, h := range in.Request.Set {
		if h.Name == "host" || h.Name == ":authority" {
			out.host = h.Value
			continue
		}
		out.requestAdd = append(out.requestAdd, option(h, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD))
	}
	for _, h := range in.Request.Add {
		out.requestAdd = append(out.requestAdd, option(h, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD))
	}
	for _, h := range in.Response.Set {
		out.responseAdd = append(out.responseAdd, option(h, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD))
	}
	for _, h := range in.Response.Add {
		out.responseAdd = append(out.responseAdd, option(h, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD))
	}
	out.requestRemove, out.responseRemove = in.Request.Remove, in.Response.Remove
	return out
}

func option(h mesh.Header, a corev3.HeaderValueOption_HeaderAppendAction) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: h.Name, Value: h.Value}, AppendAction: a}
}
