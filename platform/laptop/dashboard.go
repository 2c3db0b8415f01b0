package laptop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func (m *meshRun) dashboardAddress() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(m.ports.dashboard))
}

// dashboardURL is "" when there is none.
func (m *meshRun) dashboardURL() string {
	if !m.opts.Dashboard {
		return ""
	}
	return "http://" + m.dashboardAddress()
}

// dashboardArgs are what heddled is told of it.
func (m *meshRun) dashboardArgs() []string {
	if !m.opts.Dashboard {
		return nil
	}
	args := []string{"--dashboard-address", m.dashboardAddress()}
	if m.opts.Metrics {
		args = append(args, "--metrics-url", m.metricsURL())
	}
	return args
}

// errNoDashboard says why there is no address.
var errNoDashboard = errors.New("the mesh has no dashboard; start it without --dashboard=false")

// DashboardLink asks a running mesh for an address that logs a browser in, once.
func DashboardLink(ctx context.Context, s *Status) (string, error) {
	if s.Dashboard == "" {
		return "", errNoDashboard
	}
	token, err := os.ReadFile(s.DebugToken)
	if err != nil {
		return "", fmt.Errorf("read the token of heddled: %w", err)
	}
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Dashboard+"/api/link", nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask the dashboard for a link: %w", err)
	}
	defer resp.Body.Close()
	var link struct{ Path, Error string }
	if err := json.NewDecoder(resp.Body).Decode(&link); err != nil {
		return "", fmt.Errorf("ask the dashboard for a link: %s: %w", resp.Status, err)
	}
	if link.Path == "" {
		return "", fmt.Errorf("ask the dashboard for a link: %s", link.Error)
	}
	return s.Dashboard + link.Path, nil
}
