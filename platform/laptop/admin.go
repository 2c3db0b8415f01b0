package laptop

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// overSocket is a client that reaches a proxy's admin socket, whatever the URL's host says.
func overSocket(path string) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
		MaxIdleConns: 2, IdleConnTimeout: 10 * time.Second,
	}
}

// isReady asks the proxy itself.
func (w *workload) isReady() (ready bool, why string) {
	transport := overSocket(w.admin)
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: time.Second}
	resp, err := client.Get("http://proxy/ready")
	if err != nil { // a process that ends just now may have accepted the connection; its successor accepts the next
		resp, err = client.Get("http://proxy/ready")
	}
	if err != nil {
		return false, "its proxy does not answer yet"
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
	return resp.StatusCode == http.StatusOK, "its proxy says: " + strings.TrimSpace(string(b))
}

// serveAdmin gives the admin pages of all proxies an address on the host: /NAMESPACE/NAME/...; reading only.
func (m *meshRun) serveAdmin(inner context.Context) {
	srv := &http.Server{Handler: http.HandlerFunc(m.admin), ReadHeaderTimeout: 5 * time.Second}
	m.running.Go(func() { _ = srv.Serve(m.ports.adminListener) })
	context.AfterFunc(inner, func() { _ = srv.Close() })
}

func (m *meshRun) admin(w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	if r.Method != http.MethodGet {
		http.Error(w, "the admin pages can only be read from here", http.StatusMethodNotAllowed)
		return
	}
	// A page in a browser must not read them under another name (DNS rebinding).
	if host, _, err := net.SplitHostPort(r.Host); err != nil || host != "127.0.0.1" && host != "localhost" {
		http.Error(w, "use http://127.0.0.1", http.StatusForbidden)
		return
	}
	if len(parts) < 2 {
		http.Error(w, "want /NAMESPACE/WORKLOAD/PAGE", http.StatusNotFound)
		return
	}
	found := m.find(parts[0], parts[1])
	if found == nil {
		http.Error(w, fmt.Sprintf("there is no workload %s/%s; heddle status lists them", parts[0], parts[1]), http.StatusNotFound)
		return
	}
	page := ""
	if len(parts) == 3 {
		page = parts[2]
	}
	transport := overSocket(found.admin)
	defer transport.CloseIdleConnections()
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: "127.0.0.1"})
			p.Out.URL.Path, p.Out.Host = "/"+page, "127.0.0.1"
		},
	}
	proxy.ServeHTTP(w, r)
}

func (m *meshRun) find(namespace, name string) *workload {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.workloads {
		if w.namespace == namespace && w.name == name {
			return w
		}
	}
	return nil
}

// status is how things are now.
func (m *meshRun) status() *Status {
	m.mu.Lock()
	s := &Status{
		Ready: m.ready, Message: m.message, PID: pid(), Mode: m.opts.Mode, RunDir: m.dir.path,
		Gateway: m.gatewayURL(), API: fmt.Sprintf("https://127.0.0.1:%d", m.ports.api), Kubeconfig: m.dir.join("kubeconfig"),
		Debug: fmt.Sprintf("http://127.0.0.1:%d", m.ports.debug), DebugToken: m.dir.join("debug-token"), Metrics: m.metricsURL(), Dashboard: m.dashboardURL(),
		Started: m.started.Format(time.RFC3339), ReadyAfter: m.readyAfter.Seconds(), Workloads: []Workload{},
	}
	for _, p := range m.processes {
		pid, restarts, _ := p.State()
		s.Processes = append(s.Processes, ProcessStatus{Name: p.Name, PID: pid, Restarts: restarts, Log: m.processLog[p.Name]})
	}
	all := m.workloads
	m.mu.Unlock()
	ready := make([]bool, len(all))
	var asked sync.WaitGroup
	for i, w := range all {
		asked.Go(func() { ready[i], _ = w.isReady() })
	}
	asked.Wait()
	for i, w := range all {
		v := Workload{Name: w.name, Namespace: w.namespace, Version: w.version, About: w.about,
			ProxyAdmin: fmt.Sprintf("http://127.0.0.1:%d/%s/%s", m.ports.admin, w.namespace, w.name)}
		for _, a := range w.addresses {
			v.Addresses = append(v.Addresses, a.String())
		}
		if len(v.Addresses) > 0 {
			v.Address = v.Addresses[0]
		}
		v.Ready = ready[i] && !w.outOfService.Load()
		_, v.Restarts, _ = w.proxy.State()
		s.Workloads = append(s.Workloads, v)
	}
	return s
}

// keepStatus writes the status file anew while things change.
func (m *meshRun) keepStatus(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.tellStatus()
		}
	}
}

// tellStatus writes the status file.
func (m *meshRun) tellStatus() {
	m.telling.Lock()
	defer m.telling.Unlock()
	if err := m.dir.writeStatus(m.status()); err != nil {
		m.log.Warn("the status file cannot be written", "error", err)
	}
	if err := m.tellTargets(); err != nil {
		m.log.Warn("new workloads are not scraped", "error", err)
	}
}
