package stream

import (
	"bytes"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// Web says that the client speaks gRPC-Web, and whether it wants the answer as text.
type Web struct{ On, Text bool }

// SetWeb notes what the client speaks; Web is what was noted.
func (x *Exchange) SetWeb(w Web) { x.web = w }

// Web is what SetWeb noted.
func (x *Exchange) Web() Web { return x.web }

// gatherLimit is how much of an answer that is not gRPC a client of gRPC-Web is told.
const gatherLimit = 1 << 10

// foreign says that a client of gRPC-Web gets an answer that is not gRPC: its text goes into grpc-message, because nobody reads the body.
func (x *Exchange) foreign(h *codec.Head) bool {
	kind, _ := h.Value(codec.ContentType)
	return x.web.On && !codec.IsGRPC(kind)
}

const webText = "application/grpc-web-text"

// webType says that a content type is gRPC-Web's, in either form.
func webType(kind []byte) bool { return bytes.HasPrefix(kind, []byte("application/grpc-web")) }

// gather takes a piece of such an answer; its head waits for the end.
func (x *Exchange) gather(p []byte, end bool) {
	x.gathered = append(x.gathered, p[:min(len(p), gatherLimit-len(x.gathered))]...)
	if !end {
		return
	}
	x.gathering = false
	x.explain(&x.Response, string(x.gathered))
	x.encode(true)
	x.finish()
}

// explain puts what an answer says into the fields that gRPC looks at.
func (x *Exchange) explain(h *codec.Head, text string) {
	h.Del(codec.ContentLength)
	h.Length = -1
	h.SetInt(codec.GRPCStatus, int64(codec.GRPCStatusOf(h.Status)))
	h.Set(codec.GRPCMessage, grpcMessage(text))
}
