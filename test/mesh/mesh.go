// Package mesh is a whole mesh inside one Go test: a control plane, services, and a heddle-proxy for each workload, as values in the test's own process.
//
// In: a testing.TB, handlers, and objects of the API. Out: answers to requests that went through two proxies and mutual TLS. Nothing is captured (interception mode
// NONE): every workload has a loopback address of its own, its proxy listens there, and clients use its HTTP proxy; so there is HTTP only. A Mesh belongs to one test.
package mesh

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/test/plane"
)

// InboundPort is where every proxy listens for its workload, at the workload's address. It is not Istio's number, which tests of other packages take on all addresses.
const InboundPort = 21006

const (
	patience  = 20 * time.Second
	proxyPort = 21007 // of every HTTP proxy
	namespace = "default"
)

// Mesh is a running mesh.
type Mesh struct {
	t       testing.TB
	dir     string    // of everything: objects, tokens, state, sockets
	network string    // 127.A.B.
	log     plane.Log // of everybody, told when the test fails
	control *running
	plane   *plane.Plane

	mu        sync.Mutex
	objects   map[string]map[string]any // by KIND/NAMESPACE/NAME
	workloads []*Workload
	changes   int
}

// running is a part that runs until it is told to end.
type running struct {
	stop func()
	done chan error
}

var networks atomic.Uint32 // of this process

// Start starts a control plane for a folder of objects. The mesh ends with the test.
func Start(t testing.TB) *Mesh {
	t.Helper()
	dir, err := os.MkdirTemp("", "mesh") // a test's own folder has too long a name for sockets
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &Mesh{t: t, dir: dir, network: freeNetwork(), objects: map[string]map[string]any{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the mesh said:\n%s", m.log.String())
		}
	})
	for _, d := range []string{"config", "tokens"} {
		must(t, os.Mkdir(m.path(d), 0o700))
	}
	must(t, os.WriteFile(m.path("meshconfig.yaml"), fmt.Appendf(nil, "proxyHttpPort: %d\n", proxyPort), 0o600))
	m.StartControl()
	t.Cleanup(m.StopControl)
	return m
}

// freeNetwork is a /24 of the loopback network that no other test uses.
func freeNetwork() string {
	for {
		n := networks.Add(1)
		network := fmt.Sprintf("127.%d.%d.", 128+os.Getpid()%64, n%256)
		if l, err := net.Listen("tcp", network+"1:"+fmt.Sprint(proxyPort)); err == nil {
			l.Close()
			return network
		}
	}
}

// StartControl starts a heddled, which goes on with the state of the one before.
func (m *Mesh) StartControl() {
	m.t.Helper()
	p, err := plane.New(m.t.Context(), m.dir, m.logger("heddled"))
	must(m.t, err)
	m.plane = p
	m.control = run(func(stop <-chan struct{}) error { return p.Run(closing(stop)) })
	m.Until("heddled is ready", p.Ready)
}

// StopControl ends the heddled; proxies go on without.
func (m *Mesh) StopControl() {
	if m.control != nil {
		m.control.end(m.t, "heddled")
		m.control = nil
	}
}

// Apply writes objects, in place of those with the same names, and waits until every proxy has what follows from them.
func (m *Mesh) Apply(text string) {
	m.t.Helper()
	for doc := range strings.SplitSeq("\n"+text, "\n---\n") {
		var o map[string]any
		must(m.t, yaml.Unmarshal([]byte(doc), &o))
		if len(o) > 0 {
			m.put(o)
		}
	}
	m.sync()
}

// Delete takes an object away: KIND/NAME.
func (m *Mesh) Delete(name string) {
	m.t.Helper()
	kind, name, _ := strings.Cut(name, "/")
	m.mu.Lock()
	delete(m.objects, kind+"/"+namespace+"/"+name)
	m.mu.Unlock()
	m.sync()
}

func (m *Mesh) put(o map[string]any) {
	kind, _ := o["kind"].(string)
	meta, _ := o["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
	}
	if meta["namespace"] == nil && kind != "Namespace" {
		meta["namespace"] = namespace
	}
	o["metadata"] = meta
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[fmt.Sprint(kind, "/", meta["namespace"], "/", meta["name"])] = o
}

// marker is a service by which the mesh knows that a change has come everywhere.
const marker = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: marker, namespace: default}
spec: {hosts: [%s], location: MESH_INTERNAL, resolution: STATIC, ports: [{name: tcp, number: 7, protocol: TCP}], endpoints: [{address: 127.0.0.1}]}
`

// sync writes the objects down and waits until every proxy has taken all of them, or refused.
func (m *Mesh) sync() {
	m.t.Helper()
	m.mu.Lock()
	m.changes++
	host := fmt.Sprintf("marker-%d.mesh", m.changes)
	var text bytes.Buffer
	for _, o := range m.objects {
		doc, err := yaml.Marshal(o)
		must(m.t, err)
		text.Write(append(doc, "---\n"...))
	}
	fmt.Fprintf(&text, marker, host)
	workloads := slices.Clone(m.workloads)
	m.mu.Unlock()
	must(m.t, os.WriteFile(m.path("config/.objects"), text.Bytes(), 0o600))
	must(m.t, os.Rename(m.path("config/.objects"), m.path("config/objects.yaml")))
	if m.control == nil {
		return // it will read them when it starts
	}
	for _, w := range workloads {
		m.Until(w.Name+" knows the objects", func() bool { return strings.Contains(w.admin("/clusters"), host) })
	}
	last, same := "", 0
	m.Until("every proxy has taken everything", func() bool {
		now, ok := m.plane.Settled(len(workloads))
		if !ok || now != last {
			last, same = now, 0
			return false
		}
		same++
		return same > 2
	})
}

// Problems is what heddled says is wrong with the objects.
func (m *Mesh) Problems() []string {
	m.t.Helper()
	problems, err := m.plane.Problems()
	must(m.t, err)
	return problems
}

// Until waits for something, as long as a busy machine may need.
func (m *Mesh) Until(what string, ok func() bool) {
	m.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatalf("waited %v in vain until %s", patience, what)
		}
	}
}

func (m *Mesh) path(name string) string { return filepath.Join(m.dir, name) }

func (m *Mesh) logger(who string) *slog.Logger {
	return slog.New(slog.NewTextHandler(&m.log, &slog.HandlerOptions{Level: slog.LevelInfo})).With("who", who)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
