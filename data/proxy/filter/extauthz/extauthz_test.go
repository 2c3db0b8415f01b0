package extauthz

import (
	"encoding/binary"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
)

// answered is a complete answer of a gRPC server.
func answered(body []byte, grpcStatus string) *stream.Answer {
	a := &stream.Answer{Body: body}
	a.Head.Reset()
	a.Head.Status = 200
	if grpcStatus != "" {
		a.Trailers.SetString(codec.GRPCStatus, grpcStatus)
	}
	return a
}

func framed(t testing.TB, m *authv3.CheckResponse) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(b))), b...)
}

func TestWhatDoesNotDecideDenies(t *testing.T) {
	fine := framed(t, &authv3.CheckResponse{Status: &status.Status{}})
	query := framed(t, &authv3.CheckResponse{HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{QueryParametersToRemove: []string{"a"}}}})
	for name, a := range map[string]*stream.Answer{
		"nothing": answered(nil, "0"), "no status": answered(fine, ""), "status": answered(fine, "14"), "cut": answered(fine[:3], "0"), "longer than it says": answered(append(fine, 1), "0"),
		"no message": answered([]byte{0, 0, 0, 0, 1, 0xff}, "0"), "compressed": answered(append([]byte{1}, fine[1:]...), "0"), "query": answered(query, "0"), "failed": {Failure: "timeout"},
	} {
		if d := readGRPC(&config.ExtAuthz{}, a); d.failure == "" || d.allowed {
			t.Errorf("%s: %+v", name, d)
		}
	}
	if d := readGRPC(&config.ExtAuthz{}, answered(fine, "0")); d.failure != "" || !d.allowed {
		t.Errorf("a server that allows: %+v", d)
	}
	for code, want := range map[int]bool{200: true, 201: false, 204: false, 302: false, 403: false, 500: false, 0: false} {
		a := &stream.Answer{}
		if a.Head.Status = code; readHTTP(&config.ExtAuthz{}, a).allowed != want {
			t.Errorf("status %d by HTTP does not mean %v", code, want)
		}
	}
}

func TestNobodyChangesFraming(t *testing.T) {
	var f codec.Fields
	f.AddString(codec.ContentLength, "3")
	for _, o := range edits([]*corev3.HeaderValueOption{
		{Header: &corev3.HeaderValue{Key: "Content-Length", Value: "0"}}, {Header: &corev3.HeaderValue{Key: "Host", Value: "b"}}, {Header: &corev3.HeaderValue{Key: "transfer-encoding", Value: "chunked"}},
		{Header: &corev3.HeaderValue{Key: ":path", Value: "/b"}}, {Header: &corev3.HeaderValue{Key: "a b", Value: "1"}}, {Header: &corev3.HeaderValue{Key: "x-a", Value: "1\r\nx-b: 2"}}, {},
	}, false) {
		o.apply(&f)
	}
	if v, _ := f.Value(codec.ContentLength); f.Len() != 1 || string(v) != "3" {
		t.Errorf("%d fields, content-length %s", f.Len(), v)
	}
}

// FuzzCheckResponse reads what a server may send: it allows, denies with a status, or has not decided.
func FuzzCheckResponse(f *testing.F) {
	f.Add(framed(f, &authv3.CheckResponse{Status: &status.Status{}}))
	f.Add(framed(f, &authv3.CheckResponse{Status: &status.Status{Code: 7}, HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{Body: "x"}}}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if d := readGRPC(&config.ExtAuthz{}, answered(b, "0")); !d.allowed && d.failure == "" && (d.status < 200 || d.status > 599) {
			t.Errorf("%+v", d)
		}
	})
}
