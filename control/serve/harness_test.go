package serve

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/internal/backoff"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/client"
)

// table is a Store: the same for every proxy. It does not change after it was published.
type table map[xds.Name]*xds.Resource

func (t table) Names(_ *mesh.Proxy, url string) iter.Seq[string] {
	var names []string
	for n := range t {
		if n.TypeURL == url {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	return slices.Values(names)
}

func (t table) Resource(_ *mesh.Proxy, n xds.Name) (*xds.Resource, bool) { r, ok := t[n]; return r, ok }

func res(url, name, body string) *xds.Resource {
	return xds.FromBytes(xds.Name{TypeURL: url, Name: name}, []byte(body), "Test/default/"+name)
}

// desk publishes edits of a table.
type desk struct {
	server *Server
	rev    mesh.Revision
	now    table
}

func (d *desk) publish(puts []*xds.Resource, drops ...xds.Name) {
	next := maps.Clone(d.now)
	if next == nil {
		next = table{}
	}
	var changes []Change
	list := map[string]bool{}
	for _, r := range puts {
		if _, ok := next[r.Name]; !ok {
			list[r.Name.TypeURL] = true
		}
		next[r.Name] = r
		changes = append(changes, Change{Name: r.Name})
	}
	for _, n := range drops {
		delete(next, n)
		list[n.TypeURL] = true
		changes = append(changes, Change{Name: n})
	}
	for url := range list {
		changes = append(changes, Change{Name: xds.Name{TypeURL: url}})
	}
	d.rev++
	d.now = next
	d.server.Publish(Publication{Revision: d.rev, Store: next, Changes: slices.Values(changes)})
}

// recorder is an Observer and a Handler that remembers.
type recorder struct {
	mu      sync.Mutex
	events  []string
	have    map[xds.Name]string
	got     int // resources received
	ups     int
	reject  func(*xds.Resource) string
	changed chan struct{}
}

func newRecorder() *recorder {
	return &recorder{have: map[xds.Name]string{}, changed: make(chan struct{}, 1)}
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	r.events = append(r.events, fmt.Sprintf(format, args...))
	r.mu.Unlock()
	r.poke()
}

func (r *recorder) poke() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func (r *recorder) Connected(p *mesh.Proxy)    { r.note("connected %s", p.ID) }
func (r *recorder) Disconnected(p *mesh.Proxy) { r.note("disconnected %s", p.ID) }
func (r *recorder) Acked(p *mesh.Proxy, rev mesh.Revision, rs []*xds.Resource) {
	for _, x := range rs {
		r.note("acked %s", x.Name)
	}
}
func (r *recorder) Rejected(p *mesh.Proxy, x *xds.Resource, text string) {
	r.note("rejected %s %v: %s", x.Name, x.Origins, text)
}

func (r *recorder) OnResponse(url string, added []*xds.Resource, removed []string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var bad client.Rejection
	for _, x := range added {
		r.got++
		if r.reject != nil {
			if why := r.reject(x); why != "" {
				bad.Resources = append(bad.Resources, client.Refused{Name: x.Name.Name, Reason: why})
				continue
			}
		}
		r.have[x.Name] = string(x.Body)
	}
	for _, name := range removed {
		delete(r.have, xds.Name{TypeURL: url, Name: name})
	}
	r.poke()
	if len(bad.Resources) > 0 {
		return &bad
	}
	return nil
}

func (r *recorder) OnStream(up bool, _ error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if up {
		r.ups++
	}
}

func (r *recorder) received() int { r.mu.Lock(); defer r.mu.Unlock(); return r.got }
func (r *recorder) log() []string { r.mu.Lock(); defer r.mu.Unlock(); return slices.Clone(r.events) }
func (r *recorder) holds(n xds.Name) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.have[n]
}

// until waits for a condition over what the recorder saw.
func (r *recorder) until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-r.changed:
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatalf("never: %s; events %v", what, r.log())
		}
	}
}

func node(id, namespace, account string) *corev3.Node {
	md, _ := structpb.NewStruct(map[string]any{"NAMESPACE": namespace, "SERVICE_ACCOUNT": account, "HEDDLE_FEATURES": []any{"vhds"}, "LABELS": map[string]any{"app": "a"}})
	return &corev3.Node{Id: id, Metadata: md, UserAgentName: "heddle-proxy"}
}

// fixed authenticates everybody as one identity.
type fixed struct{ id string }

func (f fixed) Authenticate(context.Context) (identity.ID, error) {
	if f.id == "" {
		return identity.ID{}, errors.New("no")
	}
	return identity.ParseID(f.id)
}

const alice = "spiffe://cluster.local/ns/default/sa/alice"

// world is a server on an in-memory network.
type world struct {
	*desk
	listener *bufconn.Listener
	observer *recorder
}

func start(t testing.TB, opts Options) *world {
	t.Helper()
	w := &world{listener: bufconn.Listen(1 << 16), observer: newRecorder()}
	if opts.Authenticator == nil {
		opts.Authenticator = fixed{alice}
	}
	opts.Observer = w.observer
	w.desk = &desk{server: New(opts)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.server.Run(ctx, []Endpoint{{Name: "test", Listener: w.listener}}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) dial(ctx context.Context, _ string) (net.Conn, error) {
	lock.Lock()
	l := w.listener
	lock.Unlock()
	return l.DialContext(ctx)
}

// connect runs a client until the test ends or stop is called.
func (w *world) connect(t testing.TB, h client.Handler, sotw bool, n *corev3.Node, subscribe func(*client.Client)) (c *client.Client, stop func()) {
	t.Helper()
	c, err := client.New(client.Config{
		Target: "test", Dial: w.dial, Node: n, Handler: h, StateOfTheWorld: sotw,
		Backoff: backoff.Backoff{First: time.Millisecond, Limit: 10 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	subscribe(c)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return c, stop
}
