package interop_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// filed is a data plane that runs from a bootstrap file, on loopback.
type filed struct {
	t     *testing.T
	plane string
	dir   string
	admin string
	ports map[string]string
	log   *buffer
}

// port finds ${NAME} in a bootstrap file.
var port = regexp.MustCompile(`\$\{([A-Z0-9_]+)\}`)

// onFiles runs a test on each data plane with the same bootstrap, and demands the same outcome: the lines that it returns. In the file ${NAME} is a free port, the same on both
// planes, so that what is said of addresses can be compared; the values of given are put in as they are.
func onFiles(t *testing.T, config string, given map[string]string, run func(p *filed) []string) {
	t.Helper()
	ports := map[string]string{}
	var hold []net.Listener
	config = port.ReplaceAllStringFunc(config, func(name string) string {
		name = port.FindStringSubmatch(name)[1]
		if v, ok := given[name]; ok {
			return v
		}
		if ports[name] == "" {
			l, err := net.Listen("tcp", loopbacks)
			must(t, err)
			hold = append(hold, l)
			ports[name] = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		}
		return ports[name]
	})
	for _, l := range hold {
		l.Close()
	}
	outcomes := map[string][]string{}
	for _, plane := range planes { // one after the other: they have the same ports
		t.Run(plane, func(t *testing.T) {
			p := &filed{t: t, plane: plane, dir: t.TempDir(), ports: ports, log: &buffer{}}
			p.start(config)
			outcomes[plane] = run(p)
		})
	}
	ours, theirs := outcomes["heddle-proxy"], outcomes["envoy"]
	if t.Failed() || len(ours) == 0 || len(theirs) == 0 {
		return
	}
	if slices.Equal(ours, theirs) {
		return
	}
	if len(ours) != len(theirs) {
		t.Errorf("heddle-proxy:\n%s\nEnvoy:\n%s", strings.Join(ours, "\n"), strings.Join(theirs, "\n"))
		return
	}
	for i := range ours {
		if ours[i] != theirs[i] {
			t.Errorf("line %d\nheddle-proxy: %s\nEnvoy:        %s", i, ours[i], theirs[i])
		}
	}
}

// soon has Envoy send every span at once, which otherwise wait for others, or five seconds.
const soon = `{"layered_runtime": {"layers": [{"name": "t", "static_layer": {"tracing": {"opentelemetry": {"min_flush_spans": 1}, "zipkin": {"min_flush_spans": 1}}}}]}}`

func (p *filed) start(config string) {
	t := p.t
	t.Helper()
	l, err := net.Listen("tcp", loopbacks)
	must(t, err)
	p.admin = l.Addr().String()
	l.Close()
	file := filepath.Join(p.dir, "bootstrap.yaml")
	host, at, _ := net.SplitHostPort(p.admin)
	config += fmt.Sprintf("\nadmin: {address: {socket_address: {address: %s, port_value: %s}}}\n", host, at)
	must(t, os.WriteFile(file, []byte(config), 0o600))
	args := program(t, p.plane, "-c")
	if p.plane == "envoy" {
		envoy, _ := binary(t, ".cache", "envoy", "envoy")
		args = []string{envoy, "-c", file, "--disable-hot-restart", "-l", "warning", "--file-flush-interval-msec", "10", "--config-yaml", soon}
	} else {
		args = []string{args[0], "-c", file}
	}
	cmd := exec.Command(args[0], append(args[1:], "--concurrency", "1")...)
	cmd.Stdout, cmd.Stderr = p.log, p.log
	must(t, cmd.Start())
	ended := make(chan struct{})
	go func() { defer close(ended); cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", p.plane, p.log)
		}
	})
	p.until("it is ready", func() bool {
		select {
		case <-ended:
			t.Fatalf("%s ended at once:\n%s", p.plane, p.log)
		default:
		}
		return status(&http.Transport{DisableKeepAlives: true}, "http://"+p.admin+"/ready") == http.StatusOK
	})
}

func (p *filed) until(what string, done func() bool) {
	p.t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%s: waited 20 s in vain until %s", p.plane, what)
		}
	}
}

// at is the loopback address of a port of the file.
func (p *filed) at(name string) string { return "127.0.0.1:" + p.ports[name] }

// stats are the statistics whose name holds a part and that are not zero, sorted.
func (p *filed) stats(part string) []string {
	p.t.Helper()
	resp, err := http.Get("http://" + p.admin + "/stats?usedonly")
	must(p.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(p.t, err)
	var out []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); strings.Contains(line, part) && !strings.HasSuffix(line, ": 0") {
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}

// listenBackend gives a backend that serve is called for on each connection, and its port.
func listenBackend(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", loopbacks)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}
