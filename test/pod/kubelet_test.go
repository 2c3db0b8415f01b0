package pod

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/heddle-mesh/heddle/data/node/netns"
)

// sandbox is what a pod's containers share.
type sandbox struct {
	t      *testing.T
	pod    *corev1.Pod
	ns     *netns.Namespace
	ip     netip.Addr
	images map[string]string // programs by their paths in the image
	files  map[string]string // folders by the names of volumes
}

// newSandbox makes the pod's volumes as the kubelet does.
func newSandbox(t *testing.T, pod *corev1.Pod, ns *netns.Namespace, ip netip.Addr, images, volumes map[string]string) *sandbox {
	t.Helper()
	s := &sandbox{t: t, pod: pod, ns: ns, ip: ip, images: images, files: map[string]string{}}
	for _, v := range pod.Spec.Volumes {
		dir, err := os.MkdirTemp("", "pod") // t.TempDir is too long for sockets
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		s.files[v.Name] = dir
		switch {
		case v.EmptyDir != nil:
			must(t, os.Chmod(dir, 0o777))
			continue
		case v.DownwardAPI != nil:
			for _, item := range v.DownwardAPI.Items {
				s.write(dir, item.Path, lines(map[string]map[string]string{"metadata.labels": pod.Labels, "metadata.annotations": pod.Annotations}[item.FieldRef.FieldPath]))
			}
		case v.Projected != nil:
			s.write(dir, v.Projected.Sources[0].ServiceAccountToken.Path, volumes["token"])
		case v.ConfigMap != nil:
			s.write(dir, "root-cert.pem", volumes[v.ConfigMap.Name])
		}
		must(t, os.Chmod(dir, 0o755))
	}
	return s
}

func (s *sandbox) write(dir, name, text string) {
	must(s.t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
}

// lines is the form of the downward API.
func lines(m map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%s=%q\n", k, m[k])
	}
	return b.String()
}

// process is a container that runs.
type process struct {
	cmd   *exec.Cmd
	log   *buffer
	ended chan error
}

// buffer is a log that is read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start runs a container with the user and arguments that it asks for; without capabilities of its own a user but root has none.
func (s *sandbox) start(c corev1.Container) *process {
	s.t.Helper()
	env := map[string]string{}
	for _, e := range c.Env {
		value := strings.ReplaceAll(e.Value, "$$(", "$(")
		if e.ValueFrom != nil {
			value = map[string]string{"metadata.name": s.pod.Name, "metadata.namespace": s.pod.Namespace, "spec.serviceAccountName": s.pod.Spec.ServiceAccountName,
				"status.podIPs": s.ip.String()}[e.ValueFrom.FieldRef.FieldPath]
		}
		env[e.Name] = value
	}
	args := s.paths(c, append(slices.Clone(c.Command[1:]), c.Args...), env)
	p := &process{cmd: exec.Command(s.images[c.Command[0]], args...), log: &buffer{}, ended: make(chan error, 1)}
	p.cmd.Env = []string{}
	for k, v := range env {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	sc := c.SecurityContext
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: uint32(*sc.RunAsUser), Gid: uint32(*sc.RunAsGroup), NoSetGroups: true}}
	must(s.t, s.ns.Do(p.cmd.Start))
	go func() { p.ended <- p.cmd.Wait() }()
	s.t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		if s.t.Failed() {
			s.t.Logf("%s of %s: %s %q\n%s", c.Name, s.pod.Name, p.cmd.Path, args, p.log)
		}
	})
	return p
}

// paths puts values and places into arguments: $(NAME), files of volumes, programs of the image.
func (s *sandbox) paths(c corev1.Container, args []string, env map[string]string) []string {
	for i, a := range args {
		for name, value := range env {
			a = strings.ReplaceAll(a, "$("+name+")", value)
		}
		for _, m := range c.VolumeMounts {
			if rest, ok := strings.CutPrefix(a, m.MountPath); ok {
				a = s.files[m.Name] + rest
			}
		}
		if program, ok := s.images[a]; ok {
			a = program
		}
		args[i] = a
	}
	return args
}

// end waits until a container has ended by itself.
func (p *process) end(t *testing.T, what string) error {
	t.Helper()
	select {
	case err := <-p.ended:
		return err
	case <-time.After(30 * time.Second):
		t.Fatalf("%s does not end", what)
		return nil
	}
}

// up runs the pod's containers of ours in their order, and gives the proxy's process. What the pod's author wrote is run by the test.
func (s *sandbox) up() (proxy *process) {
	s.t.Helper()
	for _, c := range slices.Concat(s.pod.Spec.InitContainers, s.pod.Spec.Containers) {
		switch c.Name {
		case "istio-init":
			if err := s.start(c).end(s.t, c.Name); err != nil {
				s.t.Fatal(c.Name, ": ", err)
			}
		case "istio-proxy":
			proxy = s.start(c)
			s.eventually("the proxy is ready", func() error { return s.probe(c.ReadinessProbe, 200) })
		}
	}
	return proxy
}

func (s *sandbox) eventually(what string, try func() error) {
	s.t.Helper()
	eventually(s.t, s.pod.Name+": "+what, try)
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	err := errors.New("not tried")
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("in vain: %s: %v", what, err)
}

// probe is one of the kubelet's, which comes from outside the pod.
func (s *sandbox) probe(p *corev1.Probe, want int) error {
	status, body := get(s.t, outside, "http://"+s.ip.String()+":"+strconv.Itoa(p.HTTPGet.Port.IntValue())+p.HTTPGet.Path)
	if status != want {
		return fmt.Errorf("%s answers %d, want %d: %s", p.HTTPGet.Path, status, want, body)
	}
	return nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
