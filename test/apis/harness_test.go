package apis

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/control/server"
)

const binary = "../../bin/heddle-apiserver"

// TestMain silences client-go, which says on its own what heddled says better.
func TestMain(m *testing.M) {
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// api is one running heddle-apiserver, and what it said to the test's writes.
type api struct {
	t       *testing.T
	dir     string
	args    []string
	address string // HOST:PORT, the same after a restart
	cmd     *exec.Cmd
	dynamic dynamic.Interface
	said    buffer // warnings
}

func startAPI(t *testing.T, args ...string) *api {
	t.Helper()
	if _, err := os.Stat(binary); err != nil || testing.Short() {
		t.Skip("needs bin/heddle-apiserver (make build), and starts it: not with -short")
	}
	dir, err := os.MkdirTemp("", "apis") // a test's own folder has too long a name for etcd's socket
	if err != nil {
		t.Fatal(err)
	}
	a := &api{t: t, dir: dir, args: args, address: "127.0.0.1:0"}
	t.Cleanup(func() { a.kill(); _ = os.RemoveAll(dir) })
	a.start()
	cfg := a.config("admin")
	cfg.WarningHandler = warnings{&a.said}
	if a.dynamic, err = dynamic.NewForConfig(cfg); err != nil {
		t.Fatal(err)
	}
	return a
}

// start waits for the line that says that the API can be used.
func (a *api) start() {
	a.t.Helper()
	a.cmd = exec.Command(binary, append([]string{"--data-dir", a.dir, "--address", a.address, "--parent-death"}, a.args...)...)
	a.cmd.Stderr = os.Stderr
	out, err := a.cmd.StdoutPipe()
	if err == nil {
		err = a.cmd.Start()
	}
	if err != nil {
		a.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if at, ok := strings.CutPrefix(lines.Text(), "ready https://"); ok {
			a.address = at
			return
		}
	}
	a.t.Fatal("the API server did not start")
}

func (a *api) kill() {
	if a.cmd != nil {
		_ = a.cmd.Process.Kill()
		_ = a.cmd.Wait()
		a.cmd = nil
	}
}

func (a *api) kubeconfig(user string) string { return filepath.Join(a.dir, user+".kubeconfig") }

func (a *api) config(user string) *rest.Config {
	a.t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", a.kubeconfig(user))
	if err != nil {
		a.t.Fatal(err)
	}
	cfg.QPS, cfg.Burst = 200, 200
	return cfg
}

// as is a kubeconfig file for whom a token is.
func (a *api) as(token string) string {
	a.t.Helper()
	cfg, err := clientcmd.LoadFromFile(a.kubeconfig("admin"))
	if err != nil {
		a.t.Fatal(err)
	}
	for _, user := range cfg.AuthInfos {
		user.ClientCertificateData, user.ClientKeyData, user.Token = nil, nil, token
	}
	path := filepath.Join(a.t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*cfg, path); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// at is where objects of a kind are: "v1 Service", in a namespace or, with "", outside of any.
func (a *api) at(kind, namespace string) dynamic.ResourceInterface {
	gv, kind, _ := strings.Cut(kind, " ")
	u := unstructured.Unstructured{}
	u.SetAPIVersion(gv)
	u.SetKind(kind)
	plural, _ := meta.UnsafeGuessKindToResource(u.GroupVersionKind())
	if kind == "Gateway" {
		plural.Resource = "gateways" // the guess would be as for "policy"
	}
	if namespace == "" {
		return a.dynamic.Resource(plural)
	}
	return a.dynamic.Resource(plural).Namespace(namespace)
}

// try applies objects as kubectl does, and gives the first error.
func (a *api) try(text string) error {
	for doc := range strings.SplitSeq("\n"+text, "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &u.Object); err != nil {
			return err
		}
		if len(u.Object) == 0 {
			continue
		}
		if _, err := a.at(u.GetAPIVersion()+" "+u.GetKind(), u.GetNamespace()).Apply(context.Background(), u.GetName(), u, metav1.ApplyOptions{FieldManager: "test", Force: true}); err != nil {
			return err
		}
	}
	return nil
}

func (a *api) apply(text string) {
	a.t.Helper()
	if err := a.try(text); err != nil {
		a.t.Fatal(err)
	}
}

// get is nil when there is no such object, or no such kind.
func (a *api) get(kind, namespace, name string) *unstructured.Unstructured {
	u, err := a.at(kind, namespace).Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return u
}

func (a *api) remove(kind, namespace, name string) {
	a.t.Helper()
	if err := a.at(kind, namespace).Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
		a.t.Fatal(err)
	}
}

// condition is STATUS REASON MESSAGE of a condition; "" when there is none.
func (a *api) condition(kind, namespace, name, of string) string {
	u := a.get(kind, namespace, name)
	if u == nil {
		return ""
	}
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, x := range list {
		if c, _ := x.(map[string]any); c["type"] == of {
			return fmt.Sprint(c["status"], " ", c["reason"], " ", c["message"])
		}
	}
	return ""
}

// control is a heddled of the test's own process.
type control struct {
	t    *testing.T
	url  string
	log  buffer
	stop func()
}

func startControl(t *testing.T, o server.Options) *control {
	t.Helper()
	c := &control{t: t}
	o.HTTPAddress, o.Namespace = "127.0.0.1:0", "istio-system"
	o.Log = slog.New(slog.NewTextHandler(&c.log, nil))
	if o.StateDir == "" {
		o.StateDir = t.TempDir()
	}
	s, err := server.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	c.url = "http://" + s.HTTPAddress()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	c.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error("heddled did not end cleanly:", err)
		}
	})
	t.Cleanup(func() {
		c.stop()
		if t.Failed() {
			t.Logf("heddled said:\n%s", c.log.String())
		}
	})
	return c
}

func (c *control) ready() (int, string) {
	resp, err := http.Get(c.url + "/ready")
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// until waits for something to come true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in vain: ", what)
		}
	}
}

// buffer is a bytes.Buffer for several writers.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String is all of it.
func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *buffer) count(text string) int { return strings.Count(b.String(), text) }

// warnings keeps what an API says beside its answers.
type warnings struct{ to io.Writer }

// HandleWarningHeader is called for each.
func (w warnings) HandleWarningHeader(_ int, _ string, text string) { _, _ = fmt.Fprintln(w.to, text) }

// text is an object as YAML.
func text(t *testing.T, u *unstructured.Unstructured) string {
	t.Helper()
	if u == nil {
		return ""
	}
	raw, err := yaml.Marshal(u.Object)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
