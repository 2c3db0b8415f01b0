package extauthz

import (
	"encoding/binary"
	"strconv"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
)

// byGRPC calls envoy.service.auth.v3.Authorization.Check; nil is a question that cannot be written.
func byGRPC(x *stream.Exchange, c *config.ExtAuthz, body []byte) *stream.Question {
	q := &stream.Question{Cluster: c.Cluster, Limit: c.Timeout, Frames: true}
	h := &q.Head
	h.Reset()
	h.SetMethod([]byte("POST"))
	h.SetPath([]byte("/envoy.service.auth.v3.Authorization/Check"))
	h.SetAuthorityString(c.Cluster)
	h.SetScheme("http")
	h.SetString(codec.ContentType, "application/grpc")
	h.SetString(codec.TE, "trailers")
	if c.Timeout > 0 {
		codec.SetGRPCTimeout(h, c.Timeout)
	}
	message, err := proto.Marshal(&authv3.CheckRequest{Attributes: attributes(x, c, body)})
	if err != nil { // it cannot be, all text being valid; a server must not be asked about a request that it does not see
		return nil
	}
	q.Body = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	return q
}

func attributes(x *stream.Exchange, c *config.ExtAuthz, body []byte) *authv3.AttributeContext {
	o, h := x.Origin(), &x.Request
	request := &authv3.AttributeContext_HttpRequest{
		Id: strconv.FormatUint(x.Random(), 10), Method: valid(h.Method()), Path: valid(h.Path()), Host: valid(h.Authority()), Scheme: valid(h.Scheme()),
		Protocol: x.Protocol(), Size: int64(len(body)), Headers: headersOf(h, c), Body: valid(body),
	}
	if len(body) > 0 {
		request.Headers[partial.String()] = "false"
	}
	source := &authv3.AttributeContext_Peer{Address: address(o.Remote)}
	destination := &authv3.AttributeContext_Peer{Address: address(o.Local)}
	if t := o.TLS; t != nil {
		if p := t.Peer; p != nil {
			if source.Principal = valid([]byte(p.Subject)); len(p.URIs) > 0 {
				source.Principal = valid([]byte(p.URIs[0]))
			}
		}
		if len(t.LocalURIs) > 0 {
			destination.Principal = t.LocalURIs[0]
		}
	}
	return &authv3.AttributeContext{
		Source: source, Destination: destination,
		Request: &authv3.AttributeContext_Request{Time: timestamppb.New(x.Times().Start), Http: request},
	}
}

func told(c *config.ExtAuthz, name string) bool {
	return len(c.Headers) == 0 || listed(c.Headers, []byte(name))
}

// headersOf are the request's fields and pseudo-fields, those of one name joined.
func headersOf(h *codec.Head, c *config.ExtAuthz) map[string]string {
	out := map[string]string{}
	put := func(name string, value []byte) {
		if !told(c, name) {
			return
		}
		if old, ok := out[name]; ok {
			out[name] = old + "," + valid(value)
			return
		}
		out[name] = valid(value)
	}
	put(":method", h.Method())
	put(":path", h.Path())
	put(":authority", h.Authority())
	put(":scheme", h.Scheme())
	for i := range h.Slots() {
		if name, value, ok := h.At(i); ok {
			put(strings.ToLower(valid(name)), value)
		}
	}
	return out
}

// valid is text that a message may hold: what is not UTF-8 is marked.
func valid(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return strings.ToValidUTF8(string(b), "!")
}

func address(a loop.Address) *corev3.Address {
	if a.IsUnix() {
		return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: a.Path}}}
	}
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: a.Addr().String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(a.Port())},
	}}}
}

// readGRPC reads a CheckResponse.
func readGRPC(_ *config.ExtAuthz, a *stream.Answer) (d decision) {
	if d.failure = a.Failure; d.failure != "" {
		return d
	}
	status, ok := a.Trailers.Value(codec.GRPCStatus)
	if !ok {
		status, ok = a.Head.Value(codec.GRPCStatus)
	}
	var m authv3.CheckResponse
	switch {
	case a.Head.Status != 200 || !ok || string(status) != "0":
		d.failure = "grpc_status"
	case len(a.Body) < 5 || a.Body[0] != 0 || int(binary.BigEndian.Uint32(a.Body[1:5])) != len(a.Body)-5 || proto.Unmarshal(a.Body[5:], &m) != nil:
		d.failure = "malformed"
	case m.GetStatus().GetCode() == 0:
		o := m.GetOkResponse()
		if len(o.GetQueryParametersToSet())+len(o.GetQueryParametersToRemove()) > 0 {
			d.failure = "query_parameters" // a request goes on as its server wants it, or not at all
			return d
		}
		d.allowed, d.remove = true, lower(o.GetHeadersToRemove())
		d.request, d.response = edits(o.GetHeaders(), false), edits(o.GetResponseHeadersToAdd(), true)
	default:
		x := m.GetDeniedResponse()
		if d.status = int(x.GetStatus().GetCode()); d.status < 200 || d.status > 599 {
			d.status = 403
		}
		d.body, d.response = x.GetBody(), edits(x.GetHeaders(), true)
	}
	return d
}

func lower(names []string) (out []string) {
	for _, n := range names {
		out = append(out, strings.ToLower(n))
	}
	return out
}

// edits reads options. Of a request a field is set, or added to what is there where append says so; of a response append_action counts where append is not given.
func edits(list []*corev3.HeaderValueOption, response bool) (out []edit) {
	for _, o := range list {
		e := edit{name: strings.ToLower(o.GetHeader().GetKey()), value: o.GetHeader().GetValue()}
		if e.value == "" {
			e.value = string(o.GetHeader().GetRawValue())
		}
		switch joins := o.GetAppend(); { //nolint:staticcheck // the servers that there are use it
		case joins.GetValue() && response:
			e.how = add
		case joins.GetValue():
			e.how = addIfThere
		case joins == nil && response:
			e.how = map[corev3.HeaderValueOption_HeaderAppendAction]action{
				corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD: add, corev3.HeaderValueOption_ADD_IF_ABSENT: addIfAbsent, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS: setIfThere,
			}[o.GetAppendAction()]
		}
		out = append(out, e)
	}
	return out
}
