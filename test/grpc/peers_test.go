package grpc

import (
	"bytes"
	"context"
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/heddle-mesh/heddle/test/twin"
)

var peers = flag.Bool("peers", false, "run the interoperability suite with Java and Node.js, whose libraries fetch.sh gets")

// cases are those of the suite that need no credentials and nothing that only one implementation has.
var cases = []string{
	"empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream", "timeout_on_sleeping_server", "cancel_after_begin",
	"cancel_after_first_response", "custom_metadata", "status_code_and_message", "special_status_message", "unimplemented_method", "unimplemented_service",
}

// TestPeers runs every case from a client in one language to a server in another, through two proxies.
func TestPeers(t *testing.T) {
	if !*peers {
		t.Skip("make conformance runs the suite with other languages (-peers)")
	}
	for _, pair := range [][2]string{{"java", "go"}, {"node", "go"}, {"go", "java"}, {"go", "node"}, {"node", "java"}} {
		t.Run(pair[0]+" to "+pair[1], func(t *testing.T) {
			p := twin.NewPorts(t)
			serve(t, pair[1], p.Address("server"))
			twin.Heddle(t, p, "testdata/proxies.yaml")
			for _, name := range cases {
				t.Run(name, func(t *testing.T) { call(t, pair[0], p.Address("front"), name) })
			}
		})
	}
}

// serve runs the suite's server.
func serve(t *testing.T, language, address string) {
	_, port, _ := net.SplitHostPort(address)
	switch language {
	case "java":
		spawn(t, java(t, "TestServiceServer", "--port="+port, "--use_tls=false"))
	case "node":
		spawn(t, node(t, "server.js", port))
	default:
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		s := grpc.NewServer()
		testgrpc.RegisterTestServiceServer(s, interop.NewTestServer())
		go func() { _ = s.Serve(l) }()
		t.Cleanup(s.Stop)
		return
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the server in %s does not come up: %v", language, err)
		}
	}
}

// call runs one case of the suite's client.
func call(t *testing.T, language, address, name string) {
	_, port, _ := net.SplitHostPort(address)
	var cmd *exec.Cmd
	switch language {
	case "java":
		cmd = java(t, "TestServiceClient", "--server_host=127.0.0.1", "--server_port="+port, "--use_tls=false", "--test_case="+name)
	case "node":
		cmd = node(t, "client.js", port, name)
	default:
		callGo(t, address, name)
		return
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// callGo runs a case of Go's client, which ends the test binary with a message when the case fails.
func callGo(t *testing.T, address, name string) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client := testgrpc.NewTestServiceClient(conn)
	run := map[string]func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption){
		"empty_unary": interop.DoEmptyUnaryCall, "large_unary": interop.DoLargeUnaryCall, "client_streaming": interop.DoClientStreaming,
		"server_streaming": interop.DoServerStreaming, "ping_pong": interop.DoPingPong, "empty_stream": interop.DoEmptyStream,
		"timeout_on_sleeping_server": interop.DoTimeoutOnSleepingServer, "cancel_after_begin": interop.DoCancelAfterBegin,
		"cancel_after_first_response": interop.DoCancelAfterFirstResponse, "custom_metadata": interop.DoCustomMetadata,
		"status_code_and_message": interop.DoStatusCodeAndMessage, "special_status_message": interop.DoSpecialStatusMessage,
		"unimplemented_method": func(ctx context.Context, _ testgrpc.TestServiceClient, _ ...grpc.CallOption) {
			interop.DoUnimplementedMethod(ctx, conn)
		},
		"unimplemented_service": func(ctx context.Context, _ testgrpc.TestServiceClient, _ ...grpc.CallOption) {
			interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(conn))
		},
	}[name]
	run(ctx, client)
}

func libraries(t *testing.T, language string) string {
	dir, err := filepath.Abs("../../.cache/grpc/" + language)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no libraries for %s: test/grpc/fetch.sh gets them", language)
	}
	return dir
}

func java(t *testing.T, class string, args ...string) *exec.Cmd {
	lib := filepath.Join(libraries(t, "java"), "lib")
	return exec.CommandContext(t.Context(), "java", append([]string{"-cp", lib + "/*", "io.grpc.testing.integration." + class}, args...)...)
}

func node(t *testing.T, script string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), "node", append([]string{filepath.Join("node", script)}, args...)...)
	cmd.Env = append(os.Environ(), "LIBRARIES="+libraries(t, "node"), "DESCRIPTORS="+descriptors(t))
	return cmd
}

// descriptors writes the suite's services down, with all that they import.
func descriptors(t *testing.T) string {
	set := &descriptorpb.FileDescriptorSet{}
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	add(testgrpc.File_grpc_testing_test_proto)
	b, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "suite.pb")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// spawn runs a server until the test ends.
func spawn(t *testing.T, cmd *exec.Cmd) {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Cancel = func() error { return cmd.Process.Kill() }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has nothing to lose
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the server %s said:\n%s", strconv.Quote(strings.Join(cmd.Args[:1], " ")), said.String())
		}
	})
}
