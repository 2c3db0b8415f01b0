package http2

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// leg is one exchange through a proxy that has nothing but this codec: a stream of a client, and one to the server behind.
type leg struct{ down, up *Stream }

// asker hears the request, answerer the response. Each passes on what it hears, and holds back its sender while the other side is full.
type (
	asker    leg
	answerer leg
)

func (a *asker) Head(*codec.Head, bool)    {}
func (a *asker) Informational(*codec.Head) {}
func (a *asker) Body(p []byte, end bool) {
	if a.up != nil {
		a.up.Body(p, end)
		if !end && a.up.Full() {
			a.down.Pause()
		}
	}
}
func (a *asker) Trailers(t *codec.Fields) {
	if a.up != nil {
		a.up.Trailers(t)
	}
}
func (a *asker) Abort(r codec.Reason, detail string) {
	if a.up != nil {
		a.up.Abort(codec.LocalReset, detail)
	}
}
func (a *asker) Writable() {
	if a.up != nil {
		a.up.Resume()
	}
}

func (a *answerer) Head(h *codec.Head, end bool) { a.down.Head(h, end) }
func (a *answerer) Informational(h *codec.Head)  { a.down.Informational(h) }
func (a *answerer) Trailers(t *codec.Fields)     { a.down.Trailers(t) }
func (a *answerer) Abort(codec.Reason, string)   { a.down.Abort(codec.LocalReset, "") }
func (a *answerer) Writable()                    { a.down.Resume() }
func (a *answerer) Body(p []byte, end bool) {
	a.down.Body(p, end)
	if !end && a.down.Full() {
		a.up.Pause()
	}
}

// bridge is such a proxy in front of a server; it keeps one connection to it for all clients.
func bridge(t *testing.T, l Limits, server string) (address string, g *drivers) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	nc, err := net.Dial("tcp", server)
	if err != nil {
		t.Fatal(err)
	}
	g = &drivers{}
	up, _ := g.drive(nc, Client, l, nil, func(s *Stream) { s.Receiver().(*answerer).up = nil })
	t.Cleanup(func() { _ = nc.Close() })
	serve := func(s *Stream, h *codec.Head, end bool) codec.Receiver {
		x := &leg{down: s}
		if x.up = up.conn.Open((*answerer)(x)); x.up == nil {
			s.Head(statusHead(503), true)
			s.Abort(codec.Overflow, "")
			return (*asker)(x)
		}
		x.up.Head(h, end)
		return (*asker)(x)
	}
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			g.drive(nc, Server, l, serve, func(s *Stream) {
				if a, ok := s.Receiver().(*asker); ok && a.up != nil {
					a.up.Abort(codec.LocalReset, "")
				}
			})
		}
	}()
	return ln.Addr().String(), g
}

func (g *drivers) leftOver(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		active, bytes := 0, 0
		g.do(func() {
			for _, d := range g.all {
				active += d.conn.Active()
			}
			bytes = g.slab.InUse()
		})
		if active == 0 && bytes == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d streams and %d bytes are left over", active, bytes)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestBridge is the client and the server of golang.org/x/net with our client and our server between them.
func TestBridge(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Path", r.URL.RequestURI())
		w.Header().Set("X-Host", r.Host)
		w.Header().Set("X-Cookie", r.Header.Get("Cookie"))
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
	})
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go (&http2.Server{}).ServeConn(nc, &http2.ServeConnOpts{Handler: handler})
		}
	}()
	address, g := bridge(t, smallWindows(), ln.Addr().String())
	tr := &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}}
	defer tr.CloseIdleConnections()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 3 {
				if err := exchange(tr, address, i*3+j); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	g.leftOver(t)
}

// TestGRPC is the interoperability suite of grpc-go through the bridge. A case that fails ends the process, as the suite is made.
func TestGRPC(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	go func() { _ = server.Serve(ln) }()
	defer server.Stop()
	address, g := bridge(t, smallWindows(), ln.Addr().String())
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	c := testgrpc.NewTestServiceClient(conn)
	for name, do := range map[string]func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption){
		"empty unary": interop.DoEmptyUnaryCall, "large unary": interop.DoLargeUnaryCall, "client streaming": interop.DoClientStreaming, "server streaming": interop.DoServerStreaming,
		"ping pong": interop.DoPingPong, "empty stream": interop.DoEmptyStream, "timeout on sleeping server": interop.DoTimeoutOnSleepingServer,
		"cancel after begin": interop.DoCancelAfterBegin, "cancel after first response": interop.DoCancelAfterFirstResponse, "custom metadata": interop.DoCustomMetadata,
		"status code and message": interop.DoStatusCodeAndMessage, "special status message": interop.DoSpecialStatusMessage,
	} {
		t.Run(name, func(t *testing.T) { do(t.Context(), c) })
	}
	t.Run("unimplemented method", func(*testing.T) { interop.DoUnimplementedMethod(t.Context(), conn) })
	t.Run("unimplemented service", func(*testing.T) {
		interop.DoUnimplementedService(t.Context(), testgrpc.NewUnimplementedServiceClient(conn))
	})
	_ = conn.Close()
	g.leftOver(t)
}
