package redirect_test

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/heddle-mesh/heddle/data/bpf/redirect"
	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/data/node/capturetest"
	"github.com/heddle-mesh/heddle/data/node/netns"
)

const somewhere = "240.240.0.1:80"

func answers(t *testing.T, ns *netns.Namespace, to, want string) {
	t.Helper()
	if got := (capturetest.Call{To: to}).Make(t, ns); got != want {
		t.Errorf("%s: %q, want %q", to, got, want)
	}
}

// TestAgentRestart: programs and maps outlive their process; the next one takes them over and replaces the programs without a gap; removal leaves nothing.
func TestAgentRestart(t *testing.T) {
	w := capturetest.New(t)
	pin := filepath.Join(bpffs(t), "heddle")
	o := redirect.Options{Pin: pin}
	first := hooks(t, o)
	capturetest.Proxy(t, w.Client, 15001, "captured for")
	capturetest.Greet(t, w.Server, 80, "direct")
	pod := enrol(t, first, w.Client, capture.Spec{ExcludeOutboundPorts: []uint16{81}})
	gone := enrol(t, first, w.Server, capture.Spec{})
	answers(t, w.Client, somewhere, "captured for "+somewhere)

	// A connection that is open all the time.
	opened := make(chan *net.TCPConn, 1)
	capturetest.Serve(t, w.Client, 16001, func(c *net.TCPConn) {
		opened <- c
		io.Copy(c, c)
	})
	other := pod
	other.Spec.OutboundPort = 16001
	ok(t, first.Enrol(other))
	long := must(capturetest.Dial(w.Client, somewhere))(t)
	defer long.Close()
	ok(t, first.Enrol(pod))

	programs := programIDs(t, pin)
	ok(t, first.Close())
	answers(t, w.Client, somewhere, "captured for "+somewhere)
	speak(t, long)

	second := must(redirect.Load(o))(t)
	defer second.Close()
	if all := must(second.All())(t); len(all) != 2 {
		t.Errorf("%d namespaces are taken over, want 2", len(all))
	}
	ok(t, second.Release(gone.Cookie))
	if all := must(second.All())(t); len(all) != 1 || all[0] != pod.Cookie {
		t.Errorf("captured: %d, want the one that is kept", all)
	}
	ok(t, second.Attach())
	for _, p := range programIDs(t, pin) {
		for _, old := range programs {
			if p == old {
				t.Errorf("program %d of the first process is still in force", p)
			}
		}
	}
	answers(t, w.Client, somewhere, "captured for "+somewhere)
	answers(t, w.Client, "10.78.0.3:80", "captured for 10.78.0.3:80")
	pod.Spec.ExcludeOutbound = append(pod.Spec.ExcludeOutbound, capturetest.Prefix("10.78.0.3/32"))
	ok(t, second.Enrol(pod))
	answers(t, w.Client, "10.78.0.3:80", "direct")
	speak(t, long)
	if got := capturetest.Original(<-opened); got != somewhere {
		t.Errorf("the destination of the old connection is %s", got)
	}

	programs = programIDs(t, pin)
	ok(t, redirect.Remove(pin))
	ok(t, second.Close())
	answers(t, w.Client, "10.78.0.3:80", "direct")
	if got := (capturetest.Call{To: "10.78.0.3:8081"}).Make(t, w.Client); got != "refused" {
		t.Errorf("after removal: %q", got)
	}
	speak(t, long)
	if _, err := os.Stat(pin); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", pin, err)
	}
	for _, id := range programs {
		if p, err := ebpf.NewProgramFromID(id); err == nil {
			t.Errorf("program %d is left", id)
			p.Close()
		}
	}
	ok(t, redirect.Remove(pin))
}

// TestUpgradeToAnotherLayout: what programs with other maps have left is removed after the new ones are in force.
func TestUpgradeToAnotherLayout(t *testing.T) {
	pin := filepath.Join(bpffs(t), "heddle")
	hooks(t, redirect.Options{Pin: pin}).Close()
	ok(t, os.Mkdir(filepath.Join(pin, "v0"), 0o700))
	files := must(filepath.Glob(filepath.Join(pin, "v1", "link-connect*")))(t)
	if len(files) != 2 {
		t.Fatalf("pinned: %v", files)
	}
	for _, f := range files {
		ok(t, os.Rename(f, filepath.Join(pin, "v0", filepath.Base(f))))
	}
	hooks(t, redirect.Options{Pin: pin})
	if all := must(os.ReadDir(pin))(t); len(all) != 1 || all[0].Name() != "v1" {
		t.Errorf("left: %v", all)
	}
	ok(t, redirect.Remove(pin))
}

// TestCgroupWasMadeAnew: links of a cgroup that is gone are replaced by links to the new one.
func TestCgroupWasMadeAnew(t *testing.T) {
	pin, cgroup := filepath.Join(bpffs(t), "heddle"), newCgroup(t)
	hooks(t, redirect.Options{Pin: pin, Cgroup: cgroup}).Close()
	before := programIDs(t, pin)
	ok(t, os.Remove(cgroup))
	ok(t, os.Mkdir(cgroup, 0o755))
	hooks(t, redirect.Options{Pin: pin, Cgroup: cgroup}).Close()
	if after := programIDs(t, pin); len(after) != len(before) {
		t.Errorf("%d programs, want %d", len(after), len(before))
	}
	ok(t, redirect.Remove(pin))
}

// programIDs are the kernel's numbers of the programs behind the pinned links.
func programIDs(t testing.TB, pin string) (ids []ebpf.ProgramID) {
	t.Helper()
	for _, path := range must(filepath.Glob(filepath.Join(pin, "*", "link-*")))(t) {
		l := must(link.LoadPinnedLink(path, nil))(t)
		ids = append(ids, must(l.Info())(t).Program)
		ok(t, l.Close())
	}
	return ids
}

// speak sends a few bytes to and fro.
func speak(t *testing.T, c *net.TCPConn) {
	t.Helper()
	b := []byte("still here")
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "still here" {
		t.Fatalf("%q, %v", b, err)
	}
	if got := c.RemoteAddr().String(); got != somewhere {
		t.Errorf("the peer is %s", got)
	}
}

// TestPodsStartAtOnce: many processes find no program in force, and each puts them there before it enrols its pod.
func TestPodsStartAtOnce(t *testing.T) {
	way := redirect.Way{Options: redirect.Options{Pin: filepath.Join(bpffs(t), "heddle")}}
	if m := redirect.Missing(way.Options); m != "" {
		t.Skip(m)
	}
	w := capturetest.New(t)
	var all sync.WaitGroup
	var pods []*netns.Namespace
	for range 4 {
		ns := w.Alone(t)
		pods = append(pods, ns)
		all.Go(func() {
			if err := ns.Do(func() error { return way.Apply(capture.Spec{NoInbound: true}) }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, ns := range pods {
		ok(t, ns.Do(func() error {
			if there, err := way.Present(); err != nil || !there {
				t.Errorf("a pod is not captured (%v)", err)
			}
			return nil
		}))
	}
	ok(t, redirect.Remove(way.Pin))
}
