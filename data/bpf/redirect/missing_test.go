package redirect_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/bpf/redirect"
	"github.com/heddle-mesh/heddle/data/node/netns"
)

func TestWhatIsMissingIsSaidInOneSentence(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: BPF")
	}
	if m := redirect.Missing(redirect.Options{}); m != "" {
		t.Skip(m)
	}
	for name, c := range map[string]struct {
		options redirect.Options
		want    string
	}{
		"no cgroup":         {redirect.Options{Cgroup: "/no/such/cgroup"}, "can't open cgroup: open /no/such/cgroup: no such file or directory"},
		"another folder":    {redirect.Options{Cgroup: t.TempDir()}, "attach getsockopt"},
		"nowhere to pin":    {redirect.Options{Pin: filepath.Join(t.TempDir(), "pins")}, "there is no BPF file system at "},
		"pins are possible": {redirect.Options{Pin: filepath.Join(bpffs(t), "deep", "pins")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := redirect.Missing(c.options)
			if !strings.Contains(m, c.want) || (c.want == "") != (m == "") || strings.Contains(m, "\n") {
				t.Errorf("%q, want %q", m, c.want)
			}
			if c.options.Pin != "" {
				if _, err := os.Stat(c.options.Pin); err == nil {
					t.Errorf("the look has made %s", c.options.Pin)
				}
			}
		})
	}
	t.Run("no rights", func(t *testing.T) {
		ns := must(netns.New())(t)
		defer ns.Close()
		ok(t, ns.Do(func() error { // a thread that ends afterwards
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
				return errno
			}
			if m := redirect.Missing(redirect.Options{}); !strings.HasPrefix(m, "this process may not load kernel programs: that takes root outside of user namespaces") {
				t.Errorf("without rights: %q", m)
			}
			return nil
		}))
	})
}

// bpffs is a BPF file system that ends with the test.
func bpffs(t testing.TB) string {
	t.Helper()
	folder := t.TempDir()
	if err := unix.Mount("bpf", folder, "bpf", 0, ""); err != nil {
		t.Skipf("mount a BPF file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(folder, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return folder
}
