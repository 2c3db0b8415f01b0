package lab

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
)

// checkPath is that of envoy.service.auth.v3.Authorization.Check.
const checkPath = "/envoy.service.auth.v3.Authorization/Check"

// check decides about a request by its header x-auth: deny, fail (the call does), anything else allows. What it saw goes into the headers of request or response.
func (e *Echo) check(w http.ResponseWriter, r *http.Request) {
	frame, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	e.note(Seen{Endpoint: e.Name, Method: r.Method, Path: r.URL.Path, Host: r.Host, Headers: r.Header, Proto: r.Proto})
	w.Header().Set("Content-Type", "application/grpc")
	var in authv3.CheckRequest
	if len(frame) < 5 || proto.Unmarshal(frame[5:], &in) != nil {
		w.Header().Set("Grpc-Status", "3")
		return
	}
	h := in.GetAttributes().GetRequest().GetHttp()
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(h.GetHeaders())), func(k string) bool {
		return strings.HasPrefix(k, "x-envoy-peer") || k == "traceparent" || strings.HasPrefix(k, "x-b3-")
	})
	saw := fmt.Sprintf("%s %s://%s%s %s %q of %d from %s with %s", h.GetMethod(), h.GetScheme(), h.GetHost(), h.GetPath(), h.GetProtocol(), h.GetBody(), h.GetSize(),
		in.GetAttributes().GetSource().GetAddress().GetSocketAddress().GetAddress(), strings.Join(keys, " "))
	option := func(name, value string) *corev3.HeaderValueOption {
		return &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: name, Value: value}}
	}
	out := &authv3.CheckResponse{Status: &status.Status{}}
	switch h.GetHeaders()["x-auth"] {
	case "fail":
		w.Header().Set("Grpc-Status", "14")
		return
	case "deny":
		out.Status.Code = 7
		out.HttpResponse = &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode_Unauthorized}, Headers: []*corev3.HeaderValueOption{option("www-authenticate", "test"), option("X-Saw", saw)}, Body: "who are you?",
		}}
	default:
		out.HttpResponse = &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers: []*corev3.HeaderValueOption{option("X-User", "anna"), option("x-saw", saw)}, HeadersToRemove: []string{"x-secret", "Host", ":path"},
			ResponseHeadersToAdd: []*corev3.HeaderValueOption{option("x-checked", "yes")},
		}}
	}
	b, _ := proto.Marshal(out)
	w.Header().Set("Trailer", "Grpc-Status")
	_, _ = w.Write(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(b))), b...)) // the reader is gone otherwise
	w.Header().Set("Grpc-Status", "0")
}
