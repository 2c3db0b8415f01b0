package laptop

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Status is what `heddle status -o json` prints. Fields are only added, never renamed.
type Status struct {
	Ready      bool            `json:"ready"`
	Message    string          `json:"message,omitempty"` // why it is not ready
	PID        int             `json:"pid"`
	Mode       Mode            `json:"mode"`
	RunDir     string          `json:"runDir"`
	Gateway    string          `json:"gateway"` // URL
	API        string          `json:"api"`     // URL
	Kubeconfig string          `json:"kubeconfig"`
	Debug      string          `json:"debug"`               // URL of heddled's HTTP port
	DebugToken string          `json:"debugToken"`          // path
	Metrics    string          `json:"metrics,omitempty"`   // URL of Prometheus' HTTP API
	Dashboard  string          `json:"dashboard,omitempty"` // URL
	Started    string          `json:"started"`             // RFC 3339
	ReadyAfter float64         `json:"readyAfterSeconds,omitempty"`
	Workloads  []Workload      `json:"workloads"`
	Processes  []ProcessStatus `json:"processes"`
}

// Workload is one workload in a Status.
type Workload struct {
	Name       string   `json:"name"`
	Namespace  string   `json:"namespace"`
	Version    string   `json:"version"`
	Address    string   `json:"address"`
	Addresses  []string `json:"addresses,omitempty"`
	ProxyAdmin string   `json:"proxyAdmin"` // URL that works from the host
	Ready      bool     `json:"ready"`
	Restarts   int      `json:"restarts"`
	About      string   `json:"about,omitempty"`
}

// ProcessStatus is one process of the control plane in a Status.
type ProcessStatus struct {
	Name     string `json:"name"`
	PID      int    `json:"pid"`
	Restarts int    `json:"restarts"`
	Log      string `json:"log"`
}

// Starting says that the mesh is not up yet: only PID, RunDir and Message are known.
func (s *Status) Starting() bool { return s.Started == "" }

const statusFile = "status.json"

// ReadStatus reads the status of the mesh that runs in a folder.
func ReadStatus(path string) (*Status, error) {
	pid := holder(path)
	if pid == 0 {
		return nil, ErrNotRunning
	}
	b, err := os.ReadFile(filepath.Join(path, statusFile))
	if errors.Is(err, os.ErrNotExist) {
		return &Status{Message: "starting", PID: pid, RunDir: path, Workloads: []Workload{}, Processes: []ProcessStatus{}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the status: %w", err)
	}
	var s Status
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("read the status in %s: %w", path, err)
	}
	return &s, nil
}

func (d runDir) writeStatus(s *Status) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	part := d.join(statusFile + ".part")
	if err := os.WriteFile(part, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	return os.Rename(part, d.join(statusFile))
}

func pid() int { return os.Getpid() }
