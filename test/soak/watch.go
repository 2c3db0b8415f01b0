package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/platform/laptop"
	"github.com/heddle-mesh/heddle/test/lab"
)

// held is what a process holds.
type held struct {
	anonymous   float64 // MiB of memory that no file backs
	goroutines  float64 // 0 where nobody tells
	descriptors float64
}

// watch takes samples of every process, until the context ends.
func watch(ctx context.Context, mesh *laptop.Status, every time.Duration) map[string][]held {
	all := map[string][]held{}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return all
		case <-tick.C:
		}
		tree, err := lab.Tree(mesh.PID)
		if err != nil {
			continue
		}
		for _, p := range tree {
			name := called(p.Command)
			h := held{anonymous: anonymous(p.PID), descriptors: descriptors(p.PID)}
			switch {
			case name == "heddled":
				h.goroutines = goroutines(mesh.Debug + "/metrics")
			case strings.HasPrefix(name, "heddle-proxy "):
				h.goroutines = goroutines(admin(mesh, name) + "/stats/prometheus")
			}
			all[name] = append(all[name], h)
		}
	}
}

// called is the name of a process in the table: the program with what tells it from others of its kind.
func called(command string) string {
	args := strings.Fields(command)
	name := filepath.Base(args[0])
	for i, a := range args[:len(args)-1] {
		if a == "--name" {
			return name + " " + args[i+1]
		}
	}
	if name == "heddle-sample" {
		return name + " " + args[len(args)-1]
	}
	if name == "heddle" && len(args) > 1 && !strings.HasPrefix(args[1], "-") {
		return name + " " + args[1]
	}
	return name
}

func admin(mesh *laptop.Status, name string) string {
	for _, w := range mesh.Workloads {
		if "heddle-proxy "+w.Name == name {
			return w.ProxyAdmin
		}
	}
	return ""
}

func anonymous(pid int) (mib float64) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // a process that is gone holds nothing
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			_, _ = fmt.Sscan(value, &mib)
		}
	}
	return mib / 1024
}

func descriptors(pid int) float64 {
	all, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return float64(len(all))
}

func goroutines(url string) float64 {
	resp, err := http.Get(url)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "go_goroutines "); ok {
			n, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return n
		}
	}
	return 0
}

// judge compares the medians of the second and of the last quarter. What may differ is what a garbage collector and traffic of the moment explain.
func judge(all map[string][]held) error {
	fmt.Printf("%-32s %22s %18s %18s\n", "process, 2nd → last quarter", "anonymous memory, MiB", "goroutines", "descriptors")
	names, bad := make([]string, 0, len(all)), []string(nil)
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		row := fmt.Sprintf("%-32s", name)
		for _, what := range []struct {
			name       string
			of         func(held) float64
			share, few float64
		}{
			{"memory", func(h held) float64 { return h.anonymous }, 1.1, 3},
			{"goroutines", func(h held) float64 { return h.goroutines }, 1.1, 10},
			{"descriptors", func(h held) float64 { return h.descriptors }, 1.1, 20},
		} {
			early, late := quarter(all[name], 1, what.of), quarter(all[name], 3, what.of)
			row += fmt.Sprintf(" %8.1f → %8.1f", early, late)
			if name == "heddle-observe" && what.name == "memory" {
				continue // it is there to keep samples, 45 minutes of them in memory
			}
			if late > early*what.share+what.few {
				bad = append(bad, fmt.Sprintf("%s of %s grew from %.1f to %.1f", what.name, name, early, late))
			}
		}
		fmt.Println(row)
	}
	if len(names) == 0 {
		return errors.New("no sample was taken")
	}
	if bad != nil {
		return errors.New(strings.Join(bad, "; "))
	}
	fmt.Println("soak: nothing grows")
	return nil
}

// quarter is the median of the samples of one quarter of the time, 0 for the first.
func quarter(samples []held, q int, of func(held) float64) float64 {
	part := samples[len(samples)*q/4 : len(samples)*(q+1)/4]
	values := make([]float64, 0, len(part))
	for _, h := range part {
		values = append(values, of(h))
	}
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}
