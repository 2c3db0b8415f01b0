package grpc

import (
	"context"
	"encoding/json"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// seen is what a server saw of a call.
type seen struct {
	Server, Path, Peer string
	Headers            map[string]string
}

func newEcho(t *testing.T, name string) *echo {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	e := &echo{name: name, port: l.Addr().(*net.TCPAddr).Port, tries: map[string]int{}, hold: make(chan struct{})}
	e.server = grpc.NewServer(grpc.ForceServerCodecV2(raw{}), grpc.UnknownServiceHandler(e.handle))
	go func() { _ = e.server.Serve(l) }()
	t.Cleanup(e.server.Stop)
	return e
}

// handle obeys the metadata: x-fail N with x-key fails the first N tries of the key, with x-code or UNAVAILABLE; x-fail-at NAME fails at the server of that name; x-sleep waits
// milliseconds; x-hold waits until the test lets go.
func (e *echo) handle(_ any, stream grpc.ServerStream) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	first := func(name string) string { return strings.Join(md.Get(name), ",") }
	method, _ := grpc.MethodFromServerStream(stream)
	var in []byte
	if err := stream.RecvMsg(&in); err != nil {
		return err
	}
	code := codes.Unavailable
	if n, err := strconv.Atoi(first("x-code")); err == nil {
		code = codes.Code(n)
	}
	fail, _ := strconv.Atoi(first("x-fail"))
	e.mu.Lock()
	e.tries[first("x-key")]++
	tries := e.tries[first("x-key")]
	e.mu.Unlock()
	if tries <= fail || first("x-fail-at") == e.name {
		return status.Error(code, "as asked for")
	}
	if n, err := strconv.Atoi(first("x-sleep")); err == nil {
		time.Sleep(time.Duration(n) * time.Millisecond)
	}
	if first("x-hold") != "" {
		e.mu.Lock()
		e.held++
		e.mu.Unlock()
		<-e.hold
	}
	s := seen{Server: e.name, Path: method, Peer: identityOf(stream.Context()), Headers: map[string]string{}}
	for k, v := range md {
		s.Headers[k] = strings.Join(v, ",")
	}
	out, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return stream.SendMsg(&out)
}

// attempts is how often a key was tried.
func (e *echo) attempts(key string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.tries[key]
}

// identityOf is the SPIFFE ID of the caller's certificate.
func identityOf(ctx context.Context) string {
	p, _ := peer.FromContext(ctx)
	if p == nil {
		return ""
	}
	// The credentials of xDS hide their type; all that is asked of them is the state of the connection.
	switch i := p.AuthInfo.(type) {
	case credentials.TLSInfo:
		if i.SPIFFEID != nil {
			return i.SPIFFEID.String()
		}
	case *credentials.TLSInfo:
		if i.SPIFFEID != nil {
			return i.SPIFFEID.String()
		}
	}
	return ""
}
