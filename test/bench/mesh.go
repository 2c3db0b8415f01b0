package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/heddle-mesh/heddle/platform/laptop"
)

// measureMesh starts the demo's mesh and measures its start, its memory, how fast a change of a route reaches a request, and for how
// long one that kills a proxy is felt.
func (b *bench) measureMesh(changes, kills int) error {
	run := b.path("run")
	up := exec.Command("bin/heddle", "--run-dir", run, "up", "--detach", "--rate", "0")
	up.Stderr = os.Stderr
	from := time.Now()
	if err := up.Run(); err != nil {
		return fmt.Errorf("heddle up: %w", err)
	}
	took := time.Since(from)
	defer func() { _ = exec.Command("bin/heddle", "--run-dir", run, "down").Run() }() // a mesh that has ended is what is wanted
	out, err := exec.Command("bin/heddle", "--run-dir", run, "status", "-o", "json").Output()
	if err != nil {
		return fmt.Errorf("heddle status: %w", err)
	}
	var s laptop.Status
	if err := json.Unmarshal(out, &s); err != nil {
		return err
	}
	fmt.Printf("\nheddle up: first page after %.1f s, the command returned after %.1f s\n", s.ReadyAfter, took.Seconds())
	printMemory(s.PID)
	latencies, err := changeRoutes(&s, changes)
	if err != nil {
		return err
	}
	slices.Sort(latencies)
	at := func(q float64) time.Duration {
		return latencies[int(q*float64(len(latencies)-1))].Round(100 * time.Microsecond)
	}
	fmt.Printf("\n%d changes of a VirtualService, from the API server's answer to the first changed response: p50 %s, p90 %s, p99 %s, max %s\n",
		changes, at(.5), at(.9), at(.99), at(1))
	return killProxies(&s, kills)
}

// changeRoutes sets a response header to a new value again and again and asks until it arrives.
func changeRoutes(s *laptop.Status, changes int) ([]time.Duration, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig)
	if err != nil {
		return nil, err
	}
	cfg.QPS = 1000
	api, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	routes := api.Resource(schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}).Namespace("shop")
	var latencies []time.Duration
	for n := range changes {
		want := strconv.Itoa(n)
		patch := fmt.Sprintf(`{"spec":{"http":[{"name":"page","headers":{"response":{"set":{"x-bench":%q}}},"route":[{"destination":{"host":"web","port":{"number":8080}}}]}]}}`, want)
		if _, err := routes.Patch(context.Background(), "web", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			return nil, fmt.Errorf("change the route: %w", err)
		}
		from := time.Now()
		for {
			resp, err := http.Get(s.Gateway + "/cart")
			if err != nil {
				return nil, err
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.Header.Get("x-bench") == want {
				break
			}
			if time.Since(from) > 10*time.Second {
				return nil, fmt.Errorf("change %d did not arrive within 10 s", n)
			}
		}
		latencies = append(latencies, time.Since(from))
		time.Sleep(20 * time.Millisecond)
	}
	return latencies, nil
}

// printMemory adds up the proportional set sizes of the process tree.
func printMemory(pid int) {
	total, rows := 0.0, []string{}
	for _, p := range tree(pid) {
		pss := smaps(p, "Pss:")
		total += pss
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p))
		args := strings.Split(string(line), "\x00")
		name := filepath.Base(args[0])
		if len(args) > 2 && name != "heddled" {
			name += " " + args[1]
		}
		rows = append(rows, fmt.Sprintf("  %8.1f MB PSS %8.1f MB private dirty  %s", pss, smaps(p, "Private_Dirty:"), name))
	}
	slices.Sort(rows)
	fmt.Println(strings.Join(rows, "\n"))
	fmt.Printf("  %8.1f MB PSS in all\n", total)
}

func smaps(pid int, field string) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1000
		}
	}
	return 0
}
