package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

// TestGRPCInterop runs the cases of gRPC's interoperability suite that need no credentials, by its own client and server, through one proxy and through two. A case that
// fails ends the test binary with a message: that is how the suite is made.
func TestGRPCInterop(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(s, interop.NewTestServer())
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	at := l.Addr().String()
	for _, name := range []string{"one proxy", "two proxies"} {
		front := free(t)
		start(t, bootstrap(listener("front", front, ""), strings.TrimSuffix(cluster(at), "}")+explicitHTTP2)).ready(t)
		at = front
		t.Run(name, func(t *testing.T) { grpcCases(t, front) })
	}
}

// TestGRPCDeadlineOfTheServer: a server that gives a stream up because the client's time has passed resets it, and that is the deadline and not a failure of the server, for a
// client that sees the proxy's answer before its own time is up.
func TestGRPCDeadlineOfTheServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(s, interop.NewTestServer())
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	front := free(t)
	start(t, bootstrap(listener("front", front, ""), strings.TrimSuffix(cluster(l.Addr().String()), "}")+explicitHTTP2)).ready(t)
	second := &http.Protocols{}
	second.SetUnencryptedHTTP2(true)
	client := http.Client{Transport: &http.Transport{Protocols: second}, Timeout: 20 * time.Second}
	body, open := io.Pipe() // the stream stays open, so that only the deadline ends it
	defer open.Close()
	req, err := http.NewRequest(http.MethodPost, "http://"+front+"/grpc.testing.TestService/FullDuplexCall", body)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"Content-Type": "application/grpc", "Te": "trailers", "Grpc-Timeout": "50m"} {
		req.Header.Set(k, v)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Grpc-Status"); got != "4" {
		t.Errorf("grpc-status %q, %v", got, resp.Header)
	}
}

func grpcCases(t *testing.T, at string) {
	conn, err := grpc.NewClient("passthrough:///"+at, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := testgrpc.NewTestServiceClient(conn)
	for name, run := range map[string]func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption){
		"empty_unary": interop.DoEmptyUnaryCall, "large_unary": interop.DoLargeUnaryCall, "client_streaming": interop.DoClientStreaming,
		"server_streaming": interop.DoServerStreaming, "ping_pong": interop.DoPingPong, "empty_stream": interop.DoEmptyStream,
		"timeout_on_sleeping_server": interop.DoTimeoutOnSleepingServer, "cancel_after_begin": interop.DoCancelAfterBegin,
		"cancel_after_first_response": interop.DoCancelAfterFirstResponse, "custom_metadata": interop.DoCustomMetadata,
		"status_code_and_message": interop.DoStatusCodeAndMessage, "special_status_message": interop.DoSpecialStatusMessage,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			run(ctx, client)
		})
	}
	t.Run("unimplemented_method", func(t *testing.T) { interop.DoUnimplementedMethod(t.Context(), conn) })
	t.Run("unimplemented_service", func(t *testing.T) {
		interop.DoUnimplementedService(t.Context(), testgrpc.NewUnimplementedServiceClient(conn))
	})
}
