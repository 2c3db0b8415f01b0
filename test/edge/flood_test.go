package edge

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/test/pair"
)

// TestFloodOfBodies: clients send large bodies to an upstream that does not read them. The proxy stays below its memory limit, answers others meanwhile (if only to say that it is
// overloaded), and serves as before when they have gone. The flood is 600 connections of at most 2 MiB on loopback, and ends by itself.
func TestFloodOfBodies(t *testing.T) {
	const limit, connections = 96 << 20, 600
	release := make(chan struct{})
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			<-release
			return
		}
		fmt.Fprint(w, "hello")
	})
	port := serve(t, app, false)
	process := pair.StartProcess(t, file{}.text(), map[string]string{"app": port}, "--memory-limit", strconv.Itoa(limit))
	var answered, refused atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	chunk := make([]byte, 64<<10)
	for range connections {
		wg.Go(func() {
			c, err := net.Dial("tcp", process.Address("front"))
			if err != nil {
				return
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2097152\r\n\r\n")
			for range 32 {
				if _, err := c.Write(chunk); err != nil {
					break // held back until the time was up, or refused
				}
			}
			<-stop
		})
	}
	highest := int64(0)
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		highest = max(highest, resident(t, process.PID()))
		switch code := ask(process); code {
		case 200:
			answered.Add(1)
		case 503:
			refused.Add(1)
		}
	}
	close(stop)
	close(release)
	wg.Wait()
	t.Logf("at most %d MiB resident of a limit of %d; %d requests answered, %d refused meanwhile", highest>>20, limit>>20, answered.Load(), refused.Load())
	if highest > limit {
		t.Errorf("%d bytes were resident, the limit is %d", highest, limit)
	}
	if answered.Load()+refused.Load() == 0 {
		t.Error("nobody was answered during the flood")
	}
	process.Until("requests are served again", func() bool { return ask(process) == 200 })
}

// ask is the status of one request, 0 when there is none in time.
func ask(p *pair.Proxy) int {
	c, err := net.Dial("tcp", p.Address("front"))
	if err != nil {
		return 0
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	b, _ := io.ReadAll(c)
	_, rest, _ := strings.Cut(string(b), " ")
	code, _ := strconv.Atoi(rest[:min(3, len(rest))])
	return code
}

// resident is the memory of a process that is neither shared nor of files.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			must(t, err)
			return n << 10
		}
	}
	t.Fatal("no RssAnon")
	return 0
}
