package laptop

import "fmt"

// RunRequest asks the running mesh to take in a process.
type RunRequest struct {
	Name, Namespace, Version string
	Port                     uint16 // 0: it only calls others
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
	for _, f := range []struct{ flag, value string }{{"--name", r.Name}, {"--namespace", r.Namespace}, {"--version", r.Version}} {
		if !name(f.value) {
			return fmt.Errorf("%s %q is not a name: use lower-case letters, digits and dashes, at most 40", f.flag, f.value)
		}
	}
	return nil
}
