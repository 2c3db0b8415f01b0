package lab

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Process is one process of a tree.
type Process struct {
	PID, Parent int
	Command     string // arguments, joined by spaces
	PSS         int64  // proportional set size in bytes; 0 when it may not be read
	Net         string // its network namespace, as the kernel names it
}

// Tree lists a process and all its descendants as they are now, in the order of their ids.
func Tree(root int) ([]Process, error) {
	all, err := Processes()
	if err != nil {
		return nil, err
	}
	in := map[int]bool{root: true}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if in[p.Parent] && !in[p.PID] {
				in[p.PID], grown = true, true
			}
		}
	}
	var tree []Process
	for _, p := range all {
		if in[p.PID] {
			p.PSS = pss(p.PID)
			tree = append(tree, p)
		}
	}
	return tree, nil
}

// Processes lists all processes of the machine that can be seen, without their memory.
func Processes() ([]Process, error) {
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var all []Process
	for _, dir := range entries {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has ended meanwhile
		}
		// The name in brackets may hold anything; after the last bracket come the state and the parent.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 || fields[0] == "Z" {
			continue
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			continue
		}
		command, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		ns, _ := os.Readlink(filepath.Join(dir, "ns", "net"))
		all = append(all, Process{PID: pid, Parent: parent, Net: ns, Command: strings.TrimSpace(strings.ReplaceAll(string(command), "\x00", " "))})
	}
	return all, nil
}

func pss(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "Pss:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}
