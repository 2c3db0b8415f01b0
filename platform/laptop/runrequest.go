package laptop

import (
	"fmt"
	"slices"
	"strings"
)

// order is what a caller asks of the running mesh: to take in a process, or to replace a proxy.
type order struct {
	RunRequest
	Replace string `json:",omitempty"` // NAMESPACE/NAME of the workload
}

// RunRequest asks the running mesh to take in a process.
type RunRequest struct {
	Name, Namespace, Version string
	Service                  string // that it serves; "" is Name
	Locality                 string // REGION/ZONE/SUBZONE that it is said to run in; "" for none
	Port                     uint16 // 0: that of the service if there is one, else it only calls others
	TCP                      bool
	Path                     string // absolute
	Args                     []string
	Env                      []string
	Dir                      string
}

// RunEvent tells the caller how it goes; exactly one of the fields is set.
type RunEvent struct {
	Error   string    `json:",omitempty"`
	Started *Workload `json:",omitempty"`
	Note    string    `json:",omitempty"` // for the user to read
	Exit    *int      `json:",omitempty"`
}

// runSignal is what the caller sends afterwards.
type runSignal struct{ Signal int }

func (r *RunRequest) check() error {
	if r.Namespace == "" {
		r.Namespace = "default"
	}
	if r.Version == "" {
		r.Version = "v1"
	}
	if r.Service == "" {
		r.Service = r.Name
	}
	for _, f := range []struct{ flag, value string }{{"--name", r.Name}, {"--namespace", r.Namespace}, {"--version", r.Version}, {"--service", r.Service}} {
		if !name(f.value) {
			return fmt.Errorf("%s %q is not a name: use lower-case letters, digits and dashes, at most 40", f.flag, f.value)
		}
	}
	if r.Locality == "" {
		return nil
	}
	parts := strings.Split(r.Locality, "/")
	if len(parts) > 3 || slices.ContainsFunc(parts, func(p string) bool { return !name(p) }) {
		return fmt.Errorf("--locality %q is not a place: write REGION, REGION/ZONE or REGION/ZONE/SUBZONE, of lower-case letters, digits and dashes", r.Locality)
	}
	return nil
}
