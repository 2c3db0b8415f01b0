package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// bench is one run.
type bench struct {
	dir      string
	duration time.Duration
	rounds   int
	part     float64 // of the load that latency is measured at
	only     string
	profiles string // folder for profiles of heddle-proxy, "" for none
	baseline string // another build of heddle-proxy, "" for none
	rawFile  string
	raw      *json.Encoder // nil if nobody wants it
	shape    string        // what is measured now
	started  []*exec.Cmd
	running  []running
	said     said        // by the program that was started last
	ask      http.Client // what programs are asked with whether they are there
}

type running struct {
	proxy
	pid    int
	second int // the other one of a pair, 0 for none
}

// said is what programs print; only the last ones matter.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// Reset forgets what was said.
func (s *said) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.Reset()
}

// String is what was said.
func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// result is one measurement.
type result struct {
	cpu      float64 // microseconds per request
	user     float64 // of them, outside the kernel
	requests float64 // per second
	rss      float64 // MiB
}

// backend serves 1 KiB from nginx, which is cheaper than anything that it is measured with.
func (b *bench) backend() error {
	conf := fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/backend.pid; error_log stderr crit;
events { worker_connections 16384; }
http { access_log off; client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
keepalive_requests 1000000000; server { listen 127.0.0.1:%[2]d; location / { return 200 "%[3]s"; } location /16384 { root %[1]s; } location /1048576 { root %[1]s; } } }`, b.dir, backendPort, strings.Repeat("x", 1024))
	for _, size := range []int{16 << 10, 1 << 20} {
		if err := os.WriteFile(b.path(strconv.Itoa(size)), bytes.Repeat([]byte("y"), size), 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(b.path("backend.conf"), []byte(conf), 0o600); err != nil {
		return err
	}
	_, err := b.start("backend", backendPort, find("nginx"), "-p", b.dir, "-c", b.path("backend.conf"))
	return err
}

// launch runs a program.
func (b *bench) launch(name, path string, args ...string) (int, error) {
	cmd := exec.Command(path, args...)
	b.said.Reset()
	cmd.Stdout, cmd.Stderr = &b.said, &b.said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", name, err)
	}
	b.started = append(b.started, cmd)
	return cmd.Process.Pid, nil
}

// start runs a program and waits until its port answers.
func (b *bench) start(name string, port int, path string, args ...string) (int, error) {
	pid, err := b.launch(name, path, args...)
	if err != nil {
		return 0, err
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		resp, err := b.ask.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
		if err != nil {
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK && len(body) == 1024 {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("%s does not serve port %d: %.2000s", name, port, b.said.String())
}

func (b *bench) startProxy(p proxy) error {
	file := b.path(p.name + p.ext)
	if err := os.WriteFile(file, []byte(p.config(b)), 0o600); err != nil {
		return err
	}
	pid, err := b.start(p.name, p.port, p.path, p.args(b, file)...)
	if err != nil {
		return err
	}
	b.running = append(b.running, running{proxy: p, pid: pid})
	return nil
}

func (b *bench) end() {
	for _, c := range slices.Backward(b.started) {
		syscall.Kill(-c.Process.Pid, syscall.SIGTERM)
		time.AfterFunc(2*time.Second, func() { syscall.Kill(-c.Process.Pid, syscall.SIGKILL) })
		_ = c.Wait() // it was told to end
	}
	b.started = nil
	_ = os.RemoveAll(b.dir) // a temporary folder
}

// skips says whether a proxy is not asked for.
func (b *bench) skips(name string) bool {
	return b.only != "" && !slices.Contains(strings.Split(b.only, ","), name)
}

// openRaw makes the file for single measurements.
func (b *bench) openRaw() error {
	if b.rawFile == "" {
		return nil
	}
	f, err := os.Create(b.rawFile)
	if err == nil {
		b.raw = json.NewEncoder(f)
	}
	return err
}

// keep writes one measurement down.
func (b *bench) keep(r running, round int, one result) error {
	if b.raw == nil {
		return nil
	}
	return b.raw.Encode(map[string]any{"shape": b.shape, "proxy": r.name, "round": round, "cpuMicrosecondsEach": one.cpu, "userMicrosecondsEach": one.user, "perSecond": one.requests, "rssMiB": one.rss})
}

// measureAll prints a table, with ratios to the bases. It takes turns, so that whatever else the machine does falls on all alike. One that fails has no figure.
func (b *bench) measureAll(bases []string, load func(running) (int, error)) error {
	columns := []string{"proxy", "CPU µs each", "outside the kernel", "per second", "RSS MiB"}
	for _, base := range bases {
		columns = append(columns, "to "+base)
	}
	out := table(columns...)
	all := make([][]result, len(b.running))
	failed := make([]error, len(b.running))
	for round := range b.rounds {
		for i, r := range b.running {
			if failed[i] != nil {
				continue
			}
			one, err := b.measure(r, load)
			if err != nil {
				failed[i] = err
				continue
			}
			if err := b.keep(r, round, one); err != nil {
				return err
			}
			all[i] = append(all[i], one)
		}
	}
	medians := map[string]result{}
	for i, r := range b.running {
		if failed[i] == nil {
			slices.SortFunc(all[i], func(x, y result) int { return cmp.Compare(x.cpu, y.cpu) })
			medians[r.name] = all[i][len(all[i])/2]
		}
	}
	for i, r := range b.running {
		if failed[i] != nil {
			out.note("%s failed: %v", r.name, failed[i])
			continue
		}
		m := medians[r.name]
		row := []string{r.name, fmt.Sprintf("%.2f", m.cpu), fmt.Sprintf("%.2f", m.user), fmt.Sprintf("%.0f", m.requests), fmt.Sprintf("%.1f", m.rss)}
		for _, base := range bases {
			row = append(row, ratio(m.cpu, medians[base].cpu))
		}
		out.row(row...)
	}
	out.end()
	return b.profile(load)
}

func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in`)
	wrkErrors   = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)|Socket errors: .*`)
)

// measure makes a load and divides what it cost by its requests.
func (b *bench) measure(r running, load func(running) (int, error)) (result, error) {
	pids := tree(r.pid)
	if r.second != 0 {
		pids = append(pids, tree(r.second)...)
	}
	user, system := cpu(pids)
	from := time.Now()
	n, err := load(r)
	if err != nil {
		return result{}, err
	}
	if n == 0 {
		return result{}, fmt.Errorf("%s answered nothing in %s", r.name, b.duration)
	}
	took := time.Since(from)
	userAfter, systemAfter := cpu(pids)
	user, system = userAfter-user, systemAfter-system
	each := func(d time.Duration) float64 { return d.Seconds() * 1e6 / float64(n) }
	return result{cpu: each(user + system), user: each(user), requests: float64(n) / took.Seconds(), rss: rss(pids)}, nil
}

// wrk makes requests for one measurement and counts them.
func (b *bench) wrk(r running, connections int, path string) (int, error) {
	out, err := exec.Command("wrk", "-t1", "-c"+strconv.Itoa(connections), "-d"+strconv.Itoa(int(b.duration.Seconds()))+"s", fmt.Sprintf("http://127.0.0.1:%d%s", r.port, path)).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	if bad := wrkErrors.Find(out); bad != nil {
		return 0, fmt.Errorf("%s: %s", r.name, bad)
	}
	m := wrkRequests.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("wrk printed no count: %s", out)
	}
	return strconv.Atoi(string(m[1]))
}

// tree is a process with its descendants: the workers do the work.
func tree(pid int) []int {
	pids := []int{pid}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for again := true; again; {
		again = false
		for _, f := range stats {
			fields := statFields(f)
			if len(fields) < 2 {
				continue
			}
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			parent, _ := strconv.Atoi(fields[1])
			if slices.Contains(pids, parent) && !slices.Contains(pids, child) {
				pids, again = append(pids, child), true
			}
		}
	}
	return pids
}

// statFields are the fields of /proc/PID/stat from the state on (the third).
func statFields(path string) []string {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
}

// cpu is the time of processes outside and inside the kernel; the unit of /proc is 10 ms.
func cpu(pids []int) (user, system time.Duration) {
	for _, pid := range pids {
		if f := statFields(fmt.Sprintf("/proc/%d/stat", pid)); len(f) > 12 {
			u, _ := strconv.Atoi(f[11])
			s, _ := strconv.Atoi(f[12])
			user, system = user+time.Duration(u)*10*time.Millisecond, system+time.Duration(s)*10*time.Millisecond
		}
	}
	return user, system
}

func rss(pids []int) (mib float64) {
	for _, pid := range pids {
		if f := statFields(fmt.Sprintf("/proc/%d/stat", pid)); len(f) > 21 {
			pages, _ := strconv.ParseFloat(f[21], 64)
			mib += pages * float64(os.Getpagesize()) / (1 << 20)
		}
	}
	return mib
}

// find looks for a program where Debian puts daemons, too.
func find(name string) string {
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	return "/usr/sbin/" + name
}
