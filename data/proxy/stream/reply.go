package stream

import (
	"bytes"
	"strconv"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Reply answers the client by ourselves and ends the exchange. When the response has begun already all that is left is to cut it.
func (x *Exchange) Reply(status int, body, details string) { x.reply(status, body, details, nil) }

// ReplyWith is Reply with edits to the response's head.
func (x *Exchange) ReplyWith(status int, body, details string, edit func(*codec.Head)) {
	x.reply(status, body, details, edit)
}

// refuse answers a request that broke the protocol; the connection ends.
func (x *Exchange) refuse(status int, body, details string) {
	x.down.doubtful()
	x.endTry()
	x.Reply(status, body, details)
}

func (x *Exchange) reply(status int, body, details string, edit func(*codec.Head)) {
	if x.over {
		return
	}
	x.details = details
	if x.startedReply {
		x.cut()
		return
	}
	x.local = true
	h := &x.Response
	h.Reset()
	h.Status = status
	if status == 400 {
		x.down.doubtful() // as Envoy: a broken request leaves a connection in doubt
	}
	switch {
	case x.isGRPC():
		x.grpc(h, status, body)
		body = ""
	case body != "" && x.web.On:
		x.explain(h, body)
		body = ""
	case body != "":
		h.SetInt(codec.ContentLength, int64(len(body)))
		h.SetString(codec.ContentType, "text/plain")
	}
	if edit != nil {
		edit(h)
	}
	noBody := body == "" || x.Request.Kind == codec.HEAD
	x.encode(noBody)
	if !noBody {
		x.w.reply = append(x.w.reply[:0], body...)
		x.deliver(x.w.reply, true)
	}
	x.finish()
}

// answer is a reply in the upstream's place, which the route edits as it does the upstream's own (Envoy's router does).
func (x *Exchange) answer(status int, body, details string, edit func(*codec.Head)) {
	x.reply(status, body, details, func(h *codec.Head) {
		if edit != nil {
			edit(h)
		}
		x.routeResponse(h)
	})
}

// cut ends a response that has begun and cannot be finished.
func (x *Exchange) cut() {
	x.w.Shard.Inc(x.m.stats.TxReset)
	x.down.doubtful()
	x.down.Abort(codec.LocalReset, "")
	x.finish()
}

func (x *Exchange) isGRPC() bool {
	v, ok := x.Request.Value(codec.ContentType)
	return ok && codec.IsGRPC(v) && !x.web.On
}

// grpc turns a local reply into a gRPC status in the head.
func (x *Exchange) grpc(h *codec.Head, status int, body string) {
	h.Status = 200
	h.SetString(codec.ContentType, "application/grpc")
	h.SetInt(codec.GRPCStatus, int64(codec.GRPCStatusOf(status)))
	if body != "" {
		h.Set(codec.GRPCMessage, grpcMessage(body))
	}
}

// grpcMessage is the percent-encoding of grpc-message.
func grpcMessage(text string) (b []byte) {
	for i := range len(text) {
		if c := text[i]; c >= ' ' && c <= '~' && c != '%' {
			b = append(b, c)
		} else {
			b = append(append(b, '%'), hexByte(c)...)
		}
	}
	return b
}

func hexByte(c byte) string {
	s := strconv.FormatUint(uint64(c), 16)
	if len(s) == 1 {
		s = "0" + s
	}
	return string(bytes.ToUpper([]byte(s)))
}

// encode sends the response's head to the client, after the filters have seen it.
func (x *Exchange) encode(end bool) {
	h, c := &x.Response, x.m.Config
	x.headOnly = end
	x.traceResponse(h)
	for i := x.next - 1; i >= 0; i-- {
		if f, ok := x.m.filters[i].(ResponseFilter); ok {
			f.Response(x)
		}
	}
	x.giveSession(h)
	if !h.Has(codec.Date) {
		h.Set(codec.Date, x.w.httpDate())
	}
	switch c.ServerHeader {
	case config.Overwrite:
		h.SetString(codec.Server, x.m.server)
	case config.AppendIfAbsent:
		if !h.Has(codec.Server) {
			h.SetString(codec.Server, x.m.server)
		}
	}
	if c.AlwaysSetIDInResponse || x.Request.Has(codec.EnvoyForceTrace) {
		if v, ok := x.Request.Value(codec.RequestID); ok && !h.Has(codec.RequestID) {
			h.Set(codec.RequestID, v)
		}
	}
	if c.Via != "" {
		h.Append(codec.Via, ", ", []byte(c.Via))
	}
	limit := c.MaxRequestsPerConn
	switch {
	case h.Upgrade:
	case x.w.draining, x.m.succession.retired.Load():
		x.w.Shard.Inc(x.m.stats.DrainClose)
		x.down.last()
	case x.w.overloaded(config.DisableKeepAlive, x.random):
		x.w.Shard.Inc(x.m.stats.OverloadKeepAlive)
		x.down.last()
	case !x.requestDone:
		x.down.doubtful() // nobody waits for the rest of a request that is answered
	case limit > 0 && x.down.exchanges() >= limit:
		x.down.last()
	}
	x.startedReply = true
	x.down.Head(h, end)
}
