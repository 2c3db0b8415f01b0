package redirect_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/bpf/redirect"
	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/data/node/capturetest"
	"github.com/heddle-mesh/heddle/data/node/netns"
)

// hooks are attached and end with the test.
func hooks(t testing.TB, o redirect.Options) *redirect.Hooks {
	t.Helper()
	if m := redirect.Missing(o); m != "" {
		t.Skip(m)
	}
	h := must(redirect.Load(o))(t)
	t.Cleanup(func() { h.Close() })
	ok(t, h.Attach())
	return h
}

func enrol(t testing.TB, h *redirect.Hooks, ns *netns.Namespace, spec capture.Spec) redirect.Pod {
	t.Helper()
	var pod redirect.Pod
	ok(t, ns.Do(func() (err error) {
		pod, err = redirect.Look(spec)
		return err
	}))
	ok(t, h.Enrol(pod))
	return pod
}

// TestSharedTable: the answers of the packet filter, for what is captured by these programs.
func TestSharedTable(t *testing.T) {
	pin := filepath.Join(bpffs(t), "heddle")
	way := redirect.Way{Options: redirect.Options{Pin: pin}}
	if m := redirect.Missing(way.Options); m != "" {
		t.Skip(m)
	}
	t.Run("out", func(t *testing.T) { capturetest.Outbound(t, way) })
	t.Run("in", func(t *testing.T) { capturetest.Inbound(t, way) })
	t.Run("datagrams", func(t *testing.T) { capturetest.Datagrams(t, way) })
	p := must(redirect.Open(pin))(t)
	defer p.Close()
	if all, err := p.All(); err != nil || len(all) > 0 {
		t.Errorf("captured still: %d, %v", all, err)
	}
	if n, err := redirect.Entries(p); err != nil || n > 0 {
		t.Errorf("%d ranges and rules are left, %v", n, err)
	}
	ok(t, redirect.Remove(pin))
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		ok(t, err)
		return v
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestVerify: the look from inside a pod, before its proxy runs, finds this way of capture as it finds the packet filter.
func TestVerify(t *testing.T) {
	w := capturetest.New(t)
	h := hooks(t, redirect.Options{})
	verify := func() (err error) {
		ok(t, w.Client.Do(func() error { err = capture.Verify(capture.Spec{}, 2*time.Second); return nil }))
		return err
	}
	if err := verify(); !errors.Is(err, capture.ErrUncaptured) {
		t.Errorf("nothing is captured: %v", err)
	}
	enrol(t, h, w.Client, capture.Spec{})
	if err := verify(); err != nil {
		t.Error(err)
	}
}

// TestWayFallsBack: where programs cannot be pinned, the packet filter captures, and why is said.
func TestWayFallsBack(t *testing.T) {
	w := capturetest.New(t)
	way := redirect.Way{Options: redirect.Options{Pin: filepath.Join(t.TempDir(), "heddle")}}
	ok(t, w.Client.Do(func() error {
		used, fell, err := capture.First([]capture.Way{way, capture.NFTables{}}, capture.Spec{})
		if err != nil || used.String() != "nftables" || fell == nil || !strings.HasPrefix(fell.Error(), "ebpf does not work: there is no BPF file system at ") {
			t.Errorf("used %v, because %v (%v)", used, fell, err)
		}
		return nil
	}))
	answers(t, w.Client, "127.0.0.1:1", "refused")
	capturetest.Proxy(t, w.Client, 15001, "captured for")
	answers(t, w.Client, somewhere, "captured for "+somewhere)
}
