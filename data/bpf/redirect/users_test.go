package redirect_test

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/heddle-mesh/heddle/data/bpf/redirect"
	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/data/node/netns"
)

// TestPodWithUsersOfItsOwn: where users have other numbers the proxy would capture itself, so the packet filter, which knows the numbers of the namespace, captures.
func TestPodWithUsersOfItsOwn(t *testing.T) {
	pin := bpffs(t)
	way := redirect.Way{Options: redirect.Options{Pin: pin + "/heddle"}}
	if m := redirect.Missing(way.Options); m != "" {
		t.Skip(m)
	}
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET, UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 65536}}}
	ok(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	ns := must(netns.Open(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid)))(t)
	defer ns.Close()
	ok(t, ns.Do(func() error {
		used, fell, err := capture.First([]capture.Way{way, capture.NFTables{}}, capture.Spec{})
		if err != nil || used.String() != "nftables" || fell == nil || !strings.Contains(fell.Error(), "ebpf does not work: the pod has a user namespace of its own") {
			t.Errorf("used %v, because %v (%v)", used, fell, err)
		}
		return nil
	}))
	ok(t, redirect.Remove(pin+"/heddle"))
}
