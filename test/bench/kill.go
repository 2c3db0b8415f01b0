package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/heddle-mesh/heddle/platform/laptop"
)

// killProxies kills the proxy of the service behind the ingress again and again, while 4 clients ask, and prints for how long somebody had no answer: from the kill to the
// end of the last request that failed or took longer than a second.
func killProxies(s *laptop.Status, kills int) error {
	var back, whole []time.Duration
	for range kills {
		time.Sleep(7 * time.Second) // a process that keeps dying young is started after longer and longer pauses
		a := ask(s.Gateway+"/", 4)
		time.Sleep(300 * time.Millisecond)
		pid := sidecar(s.PID, "web-v1")
		if pid == 0 {
			a.end()
			return fmt.Errorf("the proxy of web-v1 does not run")
		}
		killed := time.Now()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			a.end()
			return err
		}
		time.Sleep(4 * time.Second)
		first, last := a.end().outage(killed)
		back, whole = append(back, first), append(whole, last)
	}
	slices.Sort(back)
	slices.Sort(whole)
	fmt.Printf("\n%d kills of a proxy: first answer after p50 %s, max %s; last request that failed or took more than 1 s ended after p50 %s, max %s\n", kills,
		back[len(back)/2].Round(time.Millisecond), back[len(back)-1].Round(time.Millisecond), whole[len(whole)/2].Round(time.Millisecond), whole[len(whole)-1].Round(time.Millisecond))
	return nil
}

// asked is one request.
type asked struct {
	from, to time.Time
	ok       bool
}

type asking struct {
	stop chan struct{}
	wg   sync.WaitGroup
	mu   sync.Mutex
	all  []asked
}

// ask starts clients that ask all the time.
func ask(url string, clients int) *asking {
	a := &asking{stop: make(chan struct{})}
	for range clients {
		a.wg.Go(func() {
			client := http.Client{Timeout: 10 * time.Second}
			for {
				select {
				case <-a.stop:
					return
				case <-time.After(10 * time.Millisecond):
				}
				one := asked{from: time.Now()}
				if resp, err := client.Get(url); err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					one.ok = err == nil && resp.StatusCode == http.StatusOK
				}
				one.to = time.Now()
				a.mu.Lock()
				a.all = append(a.all, one)
				a.mu.Unlock()
			}
		})
	}
	return a
}

func (a *asking) end() *asking {
	close(a.stop)
	a.wg.Wait()
	return a
}

// outage says when the first request that began after a moment was answered, and when the last one ended that was not, or slowly.
func (a *asking) outage(since time.Time) (first, last time.Duration) {
	first = time.Hour
	for _, one := range a.all {
		switch {
		case one.to.Before(since):
		case one.ok && one.to.Sub(one.from) <= time.Second:
			if one.from.After(since) {
				first = min(first, one.to.Sub(since))
			}
		default:
			last = max(last, one.to.Sub(since))
		}
	}
	return first, last
}

// sidecar is the process of a workload's proxy.
func sidecar(mesh int, workload string) int {
	for _, pid := range tree(mesh) {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		args := strings.Split(string(line), "\x00")
		if filepath.Base(args[0]) == "heddle-proxy" && slices.Contains(args, workload) {
			return pid
		}
	}
	return 0
}
