package redirect_test

import (
	"path/filepath"
	"testing"

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
