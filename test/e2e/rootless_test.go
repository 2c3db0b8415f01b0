package e2e

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const nobody = 65534

// TestRootless runs a whole mesh as a user without rights, inside a user namespace.
func TestRootless(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the other tests run without root already")
	}
	try := exec.Command("unshare", "-Urn", "true")
	try.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := try.CombinedOutput(); err != nil {
		t.Skipf("user namespaces are not allowed here: %v %s", err, out)
	}
	h := newAs(t, newHome(t))
	if err := os.Chown(h.dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	printed := h.up()
	if !strings.Contains(printed, "without root") || !strings.Contains(printed, "user namespace") {
		t.Errorf("what differs is not said:\n%s", printed)
	}
	s := h.status()
	namespaces := h.namespaces(s.PID)
	if code, body := get(s.Gateway + "/"); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	t.Run("tour", func(t *testing.T) { h.tour(t, printed, s) })
	hello := h.startRun("--name", "page", "--port", "9000", "--", "python3", "-m", "http.server", "9000")
	if out := h.must("run", "--name", "me", "--", "curl", "-s", "--retry", "5", "--retry-all-errors", "--retry-delay", "1", "--max-time", "5", "http://page:9000/bin/"); !strings.Contains(out, "heddle-proxy") {
		t.Errorf("by name: %s", out)
	}
	hello.Process.Signal(syscall.SIGTERM)
	hello.Wait()
	h.waitSynced(len(s.Workloads), 1e10)
	h.must("down")
	h.nothingLeft(namespaces)
}

// newAs is a home whose commands run as a user without rights.
func newAs(t *testing.T, h *home) *home {
	t.Helper()
	if err := os.Chmod(h.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	as, id := *h, strconv.Itoa(nobody)
	as.command = []string{"setpriv", "--reuid", id, "--regid", id, "--clear-groups", "env", "HOME=" + h.dir}
	return &as
}
