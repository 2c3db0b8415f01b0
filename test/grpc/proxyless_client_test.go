package grpc

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	xdscreds "google.golang.org/grpc/credentials/xds"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/xds"

	"github.com/heddle-mesh/heddle/test/plane"
)

// ask is what a client is to do: so many calls of a method, one after the other or at once.
type ask struct {
	Target    string            `json:"target"`
	Path      string            `json:"path"`
	Headers   map[string]string `json:"headers"`
	N         int               `json:"n"`
	Together  bool              `json:"together"`
	GapMS     int               `json:"gapMs"` // between the beginnings of calls together
	TimeoutMS int               `json:"timeoutMs"`
	Channel   string            `json:"channel"` // calls of different names go over different channels
	Serve     string            `json:"serve"`   // instead: serve at this address, as its listener says
}

// got is what became of one call.
type got struct {
	Code    codes.Code
	Message string
	Body    string
}

func (g got) seen() (s seen) {
	_ = json.Unmarshal([]byte(g.Body), &s) // the zero value is of nobody
	return s
}

// program is a client, and a server, in one language.
type program interface{ do(ask) []got }

// goProgram is grpc-go in the test's own process.
type goProgram struct {
	t         *testing.T
	bootstrap []byte
	resolver  resolver.Builder
	mu        sync.Mutex
	channels  map[string]*grpc.ClientConn
}

func newGo(t *testing.T, bootstrap string) *goProgram {
	t.Helper()
	b, err := os.ReadFile(bootstrap)
	must(t, err)
	r, err := xds.NewXDSResolverWithConfigForTesting(b)
	must(t, err)
	return &goProgram{t: t, bootstrap: b, resolver: r, channels: map[string]*grpc.ClientConn{}}
}

func (p *goProgram) channel(a ask) *grpc.ClientConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := a.Target + " " + a.Channel
	if c := p.channels[key]; c != nil {
		return c
	}
	creds, err := xdscreds.NewClientCredentials(xdscreds.ClientOptions{FallbackCreds: insecure.NewCredentials()})
	must(p.t, err)
	c, err := grpc.NewClient(a.Target, grpc.WithTransportCredentials(creds), grpc.WithResolvers(p.resolver), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
	must(p.t, err)
	p.t.Cleanup(func() { _ = c.Close() })
	p.channels[key] = c
	return c
}

func (p *goProgram) do(a ask) []got {
	if a.Serve != "" {
		p.serve(a.Serve)
		return nil
	}
	c := p.channel(a)
	return each(a, func() got {
		ctx, cancel := context.WithTimeout(p.t.Context(), time.Duration(a.TimeoutMS)*time.Millisecond)
		defer cancel()
		for k, v := range a.Headers {
			ctx = metadata.AppendToOutgoingContext(ctx, k, v)
		}
		var in, out []byte
		err := c.Invoke(ctx, a.Path, &in, &out)
		return got{status.Code(err), status.Convert(err).Message(), string(out)}
	})
}

// serve runs a server whose listener comes from the control plane.
func (p *goProgram) serve(address string) {
	creds, err := xdscreds.NewServerCredentials(xdscreds.ServerOptions{FallbackCreds: insecure.NewCredentials()})
	must(p.t, err)
	e := &echo{name: "go", tries: map[string]int{}, hold: make(chan struct{})}
	s, err := xds.NewGRPCServer(xds.BootstrapContentsForTesting(p.bootstrap), grpc.Creds(creds), grpc.ForceServerCodecV2(raw{}), grpc.UnknownServiceHandler(e.handle))
	must(p.t, err)
	l, err := net.Listen("tcp", address)
	must(p.t, err)
	go func() { _ = s.Serve(l) }()
	p.t.Cleanup(s.Stop)
}

// each makes the calls.
func each(a ask, call func() got) []got {
	out := make([]got, a.N)
	var all sync.WaitGroup
	for i := range out {
		if !a.Together {
			out[i] = call()
			continue
		}
		all.Go(func() { out[i] = call() })
		time.Sleep(time.Duration(a.GapMS) * time.Millisecond)
	}
	all.Wait()
	return out
}

// foreign is a program in another language, which reads what to do from its input, one line each.
type foreign struct {
	t   *testing.T
	mu  sync.Mutex
	in  io.Writer
	out *bufio.Reader
}

func newForeign(t *testing.T, language, bootstrap string) *foreign {
	t.Helper()
	var cmd *exec.Cmd
	switch language {
	case "java":
		cmd = exec.CommandContext(t.Context(), "java", "-cp", filepath.Join(libraries(t, "java"), "lib")+"/*", filepath.Join("java", "Proxyless.java"))
	default:
		cmd = exec.CommandContext(t.Context(), "node", filepath.Join("node", "proxyless.js"))
		cmd.Env = []string{"LIBRARIES=" + libraries(t, "node")}
	}
	// The filter for authorization is a switch of grpc-js-xds that is off by itself; without it such a server does not serve.
	cmd.Env = append(append(os.Environ(), cmd.Env...), "GRPC_XDS_BOOTSTRAP="+bootstrap, "GRPC_XDS_EXPERIMENTAL_RBAC=true")
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	said := &plane.Log{}
	cmd.Stderr = said
	cmd.Cancel = func() error { return cmd.Process.Kill() }
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has nothing to lose
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the program in %s said:\n%s", language, said.String())
		}
	})
	return &foreign{t: t, in: in, out: bufio.NewReader(out)}
}

func (p *foreign) do(a ask) (list []got) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line, err := json.Marshal(a)
	must(p.t, err)
	_, err = fmt.Fprintf(p.in, "%s\n", line)
	must(p.t, err)
	answer, err := p.out.ReadBytes('\n')
	must(p.t, err)
	must(p.t, json.Unmarshal(answer, &list))
	return list
}
