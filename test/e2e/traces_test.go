package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"

	"github.com/heddle-mesh/heddle/test/lab"
)

// trace is what a mesh could leave on a machine besides processes and its folder.
type trace struct {
	mounts, interfaces, tables, temporary []string
}

func traces(t *testing.T) (x trace) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	x.mounts = strings.Split(string(b), "\n")
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		x.interfaces = append(x.interfaces, i.Name)
	}
	if os.Geteuid() == 0 {
		c, err := nftables.New()
		if err != nil {
			t.Fatal(err)
		}
		tables, err := c.ListTables()
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range tables {
			x.tables = append(x.tables, table.Name)
		}
	}
	x.temporary, _ = filepath.Glob(filepath.Join(os.TempDir(), "heddle-[0-9]*")) // the run folder of a user without rights
	logs, _ := filepath.Glob(filepath.Join(os.TempDir(), "heddle-up-*"))
	x.temporary = append(x.temporary, logs...)
	named, _ := filepath.Glob("/run/netns/*")
	x.temporary = append(x.temporary, named...)
	return x
}

// processes are those of programs in the folder, and those in network namespaces that such programs run in.
func (h *home) processes() (pids []int) {
	all, err := lab.Processes()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, p := range all {
		if exe, err := os.Readlink("/proc/" + strconv.Itoa(p.PID) + "/exe"); err == nil && strings.HasPrefix(exe, h.dir+"/") {
			pids = append(pids, p.PID)
		}
	}
	return pids
}

// namespaces are the network namespaces of the mesh, without the machine's own.
func (h *home) namespaces(pid int) map[string]bool {
	h.t.Helper()
	tree, err := lab.Tree(pid)
	if err != nil {
		h.t.Fatal(err)
	}
	own, _ := os.Readlink("/proc/self/ns/net")
	found := map[string]bool{}
	for _, p := range tree {
		if p.Net != own && p.Net != "" {
			found[p.Net] = true
		}
	}
	return found
}

// nothingLeft checks that a mesh has gone without a trace, but for the kept parts of its folder.
func (h *home) nothingLeft(namespaces map[string]bool, kept ...string) {
	h.t.Helper()
	eventually(h.t, 15*time.Second, func() string {
		if pids := h.processes(); len(pids) > 0 {
			return fmt.Sprintf("processes still run: %v", pids)
		}
		all, err := lab.Processes()
		if err != nil {
			return err.Error()
		}
		for _, p := range all {
			if namespaces[p.Net] {
				return fmt.Sprintf("process %d (%s) is still in a namespace of the mesh", p.PID, p.Command)
			}
		}
		entries, err := os.ReadDir(h.run)
		if len(kept) == 0 && !os.IsNotExist(err) {
			return fmt.Sprintf("the run folder is still there: %v", entries)
		}
		for _, e := range entries {
			if !slices.Contains(kept, e.Name()) {
				return "the run folder still holds " + e.Name()
			}
		}
		return ""
	})
	after := traces(h.t)
	for _, x := range []struct {
		what          string
		before, after []string
	}{{"mount", h.before.mounts, after.mounts}, {"interface", h.before.interfaces, after.interfaces}, {"rule table", h.before.tables, after.tables}, {"file", h.before.temporary, after.temporary}} {
		for _, s := range x.after {
			if !slices.Contains(x.before, s) && !strings.HasPrefix(s, h.dir) {
				h.t.Errorf("left behind: %s %s", x.what, s)
			}
		}
	}
}
