package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// rested is how long a proxy may tidy up, after its start or after traffic, before its memory is read.
const rested = 20 * time.Second

// runMemory measures what proxies hold for the services that they know, at rest: 1, and 1,000 with 10 endpoints each. 2 workers, as sidecars have.
func (b *bench) runMemory() error {
	fmt.Printf("\n### Memory at rest, 2 workers, %s after the start, MiB\n", rested)
	out := table("proxy", "services", "RssAnon", "RSS")
	port := 21850
	for _, name := range []string{"heddle-proxy", "envoy"} {
		if b.skips(name) {
			continue
		}
		for _, services := range []int{1, 1000} {
			port += 2
			p := proxy{name: name, path: heddlePath, ext: fmt.Sprintf("-%d.yaml", services), port: port, args: func(_ *bench, file string) []string { return []string{"-c", file, "--concurrency", "2"} },
				config: func(*bench) string { return meshConfig(port, services, 10) }}
			if name == "envoy" {
				p.path = envoyPath
				p.args = func(_ *bench, file string) []string {
					return []string{"-c", file, "--concurrency", "2", "--disable-hot-restart", "-l", "error"}
				}
			}
			if err := b.startProxy(p); err != nil {
				return err
			}
			pid := b.running[len(b.running)-1].pid
			time.Sleep(rested)
			out.row(name, strconv.Itoa(services), fmt.Sprintf("%.1f", status(pid, "RssAnon")), fmt.Sprintf("%.1f", status(pid, "VmRSS")))
		}
	}
	out.end()
	return nil
}

// status is a line of /proc/PID/status in MiB.
func status(pid int, name string) (mib float64) {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // a process that is gone holds nothing
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			_, _ = fmt.Sscan(value, &mib) // kB
		}
	}
	return mib / 1024
}

// meshConfig is a sidecar's view of a mesh: a virtual host and a cluster with endpoints for every service, and the names under which clients ask for it.
func meshConfig(port, services, endpoints int) string {
	var hosts, clusters strings.Builder
	for i := range services {
		name := fmt.Sprintf("service-%d", i)
		fmt.Fprintf(&hosts, `
            - {name: "%[1]s.default.svc.cluster.local:80", domains: ["%[1]s", "%[1]s:80", "%[1]s.default", "%[1]s.default:80", "%[1]s.default.svc.cluster.local", "%[1]s.default.svc.cluster.local:80"], routes: [{match: {prefix: /}, route: {cluster: "outbound|80||%[1]s", timeout: 15s, retry_policy: {retry_on: "connect-failure,refused-stream,unavailable", num_retries: 2}}}]}`, name)
		fmt.Fprintf(&clusters, `
  - name: "outbound|80||%s"
    type: STATIC
    connect_timeout: 10s
    lb_policy: LEAST_REQUEST
    circuit_breakers: {thresholds: [{max_connections: 4294967295, max_pending_requests: 4294967295, max_requests: 4294967295, max_retries: 4294967295}]}
    outlier_detection: {consecutive_5xx: 5}
    load_assignment:
      cluster_name: "outbound|80||%s"
      endpoints: [{lb_endpoints: [`, name, name)
		for j := range endpoints {
			fmt.Fprintf(&clusters, `{endpoint: {address: {socket_address: {address: 10.%d.%d.%d, port_value: 8080}}}}, `, i>>8, i&255, j+1)
		}
		clusters.WriteString("]}]")
	}
	c := envoyConfig(port, port+100)
	all := `            - {name: all,`
	return strings.Replace(c, all, strings.TrimPrefix(hosts.String(), "\n")+"\n"+all, 1) + strings.TrimPrefix(clusters.String(), "\n") + "\n"
}
