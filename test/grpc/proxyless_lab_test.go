package grpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/heddle-mesh/heddle/control/token"
	"github.com/heddle-mesh/heddle/data/proxy/agent"
	"github.com/heddle-mesh/heddle/data/proxy/announce"
	"github.com/heddle-mesh/heddle/test/plane"
)

// lab is a control plane with services in the test's process, and agents for workloads without a proxy.
type lab struct {
	t       *testing.T
	dir     string
	plane   *plane.Plane
	objects string // services, which stay
	version int
	log     plane.Log
}

const patience = 30 * time.Second

func newLab(t *testing.T, services string) *lab {
	t.Helper()
	return newLabWith(t, services, "{}")
}

// newLabWith has a MeshConfig.
func newLabWith(t *testing.T, services, meshConfig string) *lab {
	t.Helper()
	dir, err := os.MkdirTemp("", "lab") // a test's own folder has too long a name for sockets
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l := &lab{t: t, dir: dir, objects: services}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the lab said:\n%s", l.log.String())
		}
	})
	for _, d := range []string{"config", "tokens"} {
		must(t, os.Mkdir(l.path(d), 0o700))
	}
	l.write("")
	must(t, os.WriteFile(l.path("meshconfig.yaml"), []byte(meshConfig), 0o600))
	l.plane, err = plane.New(t.Context(), dir, l.logger("heddled"))
	must(t, err)
	l.run("heddled", l.plane.Run)
	l.until("heddled is ready", l.plane.Ready)
	return l
}

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

func (l *lab) logger(who string) *slog.Logger {
	return slog.New(slog.NewTextHandler(&l.log, &slog.HandlerOptions{Level: slog.LevelError})).With("who", who)
}

// run runs a part until the test ends.
func (l *lab) run(who string, part func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- part(ctx) }()
	l.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			l.t.Errorf("%s ends with: %v", who, err)
		}
	})
}

func (l *lab) until(what string, is func() bool) {
	l.t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("not in %s: %s", patience, what)
		}
	}
}

func (l *lab) write(objects string) {
	l.t.Helper()
	must(l.t, os.WriteFile(l.path("config/.new"), []byte(l.objects+"\n---\n"+objects), 0o600))
	must(l.t, os.Rename(l.path("config/.new"), l.path("config/objects.yaml")))
}

// apply puts objects in the place of those of the last time, and waits until all clients have taken what follows.
func (l *lab) apply(objects string) {
	l.t.Helper()
	l.version++
	host := fmt.Sprintf("marker-%d.test", l.version)
	// A rule for a host that nobody has is told in status, once it was read.
	l.write(objects + fmt.Sprintf("\n---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: marker, namespace: shop}\nspec: {host: %s}\n", host))
	l.until("heddled has read the objects", func() bool { return strings.Contains(strings.Join(l.problems(), "\n"), host) })
	last, same := "", 0
	defer func() {
		if l.t.Failed() {
			l.t.Logf("connections:\n%s", last)
		}
	}()
	l.until("every client has taken everything", func() bool {
		now, ok := l.plane.Settled(0)
		if !ok || now != last {
			last, same = now, 0
			return false
		}
		same++
		return same > 10
	})
}

// problems is what heddled says is wrong with the objects.
func (l *lab) problems() []string {
	l.t.Helper()
	problems, err := l.plane.Problems()
	must(l.t, err)
	return problems
}

// workload runs an agent and gives the path of the bootstrap that it writes.
func (l *lab) workload(name, account string, labels map[string]string) (bootstrap string) {
	l.t.Helper()
	l.token(name, account)
	o := agent.Options{
		XDSAddress: "unix:" + l.path("xds.sock"), TokenFile: l.path(name + ".token"), WorkDir: l.path(name), Log: l.logger(name),
		Workload: announce.Workload{Name: name, Namespace: "shop", Account: account, IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Labels: labels, ClusterID: "Kubernetes"},
	}
	l.run("the agent of "+name, func(ctx context.Context) error { return agent.RunGRPC(ctx, o) })
	l.until("the agent of "+name+" has a certificate", func() bool {
		_, err := os.Stat(filepath.Join(o.WorkDir, "certificates", "root-cert.pem"))
		return err == nil
	})
	return filepath.Join(o.WorkDir, agent.GRPCBootstrap)
}

// token writes the credential of a workload.
func (l *lab) token(name, account string) {
	l.t.Helper()
	secret, err := token.Issue(l.path("tokens"), name, token.Claims{Namespace: "shop", ServiceAccount: account})
	must(l.t, err)
	must(l.t, os.WriteFile(l.path(name+".token"), []byte(secret), 0o600))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// raw passes messages as bytes, so that no program needs generated code.
type raw struct{}

var _ encoding.CodecV2 = raw{}

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}
func (raw) Unmarshal(b mem.BufferSlice, v any) error { *v.(*[]byte) = b.Materialize(); return nil }
func (raw) Name() string                             { return "proto" }

// freePort is a port that nobody listens on now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// echo is a gRPC server that answers every method with what it saw.
type echo struct {
	name   string
	port   int
	server *grpc.Server

	mu    sync.Mutex
	tries map[string]int
	hold  chan struct{} // calls with x-hold wait for it
	held  int
}
