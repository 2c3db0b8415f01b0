package fabric

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// killDescendants kills every process that we started, or that came to us when its parent ended, and their children, until none is left. New ones may come meanwhile.
func killDescendants() {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		all := descendants(os.Getpid())
		for _, pid := range all {
			syscall.Kill(pid, syscall.SIGKILL) // it may have ended just now
		}
		if len(all) == 0 {
			return
		}
	}
}

// descendants are the living processes below one, as /proc has them.
func descendants(root int) (found []int) {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		if pid, parent, alive := parentOf(path); alive {
			children[parent] = append(children[parent], pid)
		}
	}
	for next := []int{root}; len(next) > 0; {
		below := children[next[0]]
		found, next = append(found, below...), append(next[1:], below...)
	}
	return found
}

// parentOf reads /proc/PID/stat: PID (NAME) STATE PARENT ...; the name may hold anything.
func parentOf(path string) (pid, parent int, alive bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, false // it has ended
	}
	text := string(b)
	head, _, _ := strings.Cut(text, " (")
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(f) < 2 || f[0] == "Z" || f[0] == "X" {
		return 0, 0, false
	}
	pid, err = strconv.Atoi(head)
	parent, err2 := strconv.Atoi(f[1])
	return pid, parent, err == nil && err2 == nil
}
