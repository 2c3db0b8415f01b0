package laptop

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"
)

// openPorts takes the ports of the host. A busy default port is replaced by a free one and told; one that was asked for must be free.
func (m *meshRun) openPorts() error {
	gateway, err := m.listen("gateway", "--port", m.opts.GatewayPort, DefaultGatewayPort, m.opts.GatewayPortAsked)
	if err != nil {
		return err
	}
	m.ports.gateway = gateway.Addr().(*net.TCPAddr).Port
	// The file is a duplicate; closing our own listener leaves the socket listening.
	m.ports.gatewayListener, err = gateway.(*net.TCPListener).File()
	gateway.Close()
	if err != nil {
		return fmt.Errorf("hand over the gateway's socket: %w", err)
	}
	if m.ports.api, err = m.free("API server", "--api-port", m.opts.APIPort, DefaultAPIPort, m.opts.APIPortAsked); err != nil {
		return err
	}
	if m.opts.Metrics {
		if m.ports.metrics, err = m.free("metrics", "--metrics-port", m.opts.MetricsPort, DefaultMetricsPort, m.opts.MetricsPortAsked); err != nil {
			return err
		}
	}
	if m.opts.Dashboard {
		if m.ports.dashboard, err = m.free("dashboard", "--dashboard-port", m.opts.DashboardPort, DefaultDashboardPort, m.opts.DashboardPortAsked); err != nil {
			return err
		}
	}
	if m.ports.adminListener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("open a port for the proxies' admin pages: %w", err)
	}
	m.ports.admin = m.ports.adminListener.Addr().(*net.TCPAddr).Port
	debug, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("open a port for heddled: %w", err)
	}
	m.ports.debug = debug.Addr().(*net.TCPAddr).Port
	return debug.Close()
}

// free finds a port that the process which serves it binds itself a moment later.
func (m *meshRun) free(what, flag string, port, usual int, asked bool) (int, error) {
	l, err := m.listen(what, flag, port, usual, asked)
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

func (m *meshRun) listen(what, flag string, port, usual int, asked bool) (net.Listener, error) {
	if port == 0 && !asked {
		port = usual
	}
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // the proxy that inherits it wants plain TCP
	l, err := plain.Listen(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil {
		return l, nil
	}
	if asked || !errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("open port %d for the %s: %w; choose another with %s", port, what, err, flag)
	}
	l, err = plain.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a port for the %s: %w", what, err)
	}
	m.say("port %d is busy, so the %s takes %d", port, what, l.Addr().(*net.TCPAddr).Port)
	return l, nil
}

// apiReady asks the API server; its certificate is not looked at, because nothing is sent and only the answer's code is used.
func (m *meshRun) apiReady() bool {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	resp, err := client.Get(fmt.Sprintf("https://127.0.0.1:%d/readyz", m.ports.api))
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// tail is the last line of a log that says something.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil || len(bytes.TrimSpace(b)) == 0 {
		return "its log " + path + " is empty"
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(lines[len(lines)-1])
}
