// Package cni is the chained CNI plug-in: it captures the traffic of pods that have a proxy, when their network is made.
//
// In: what a container runtime gives a plug-in (CNI 1.1.0: environment, network configuration at the standard input). Out: the result of the plug-in before it, byte for byte,
// or an error of the specification. What is to be captured the node agent knows; the plug-in has no kubeconfig and keeps nothing. A Plugin runs once.
package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/data/node/enrol"
)

// Type is the plug-in's name, in the configuration and as a file.
const Type = "heddle-cni"

// Annotation holds the arguments of the capture, a JSON array; the injection writes it on pods whose capture is the node's.
const Annotation = "heddle.dev/capture"

// Error codes of the specification; from 100 on they are ours.
const (
	codeVersion  = 1
	codeUnknown  = 3
	codeEnv      = 4
	codeIO       = 5
	codeDecode   = 6
	codeConfig   = 7
	codeLater    = 11
	codeCapture  = 100
	codeNoneLeft = 101
)

// versions are those of configurations that this plug-in understands: all that know chains.
var versions = []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}

// Fault is an error as the specification wants it.
type Fault struct {
	Version string `json:"cniVersion"`
	Code    int    `json:"code"`
	Message string `json:"msg"`
	Details string `json:"details,omitempty"`
}

// Error is the message with its details.
func (f *Fault) Error() string { return f.Message + ": " + f.Details }

func fault(code int, message, format string, args ...any) error {
	return &Fault{Code: code, Message: message, Details: fmt.Sprintf(format, args...)}
}

// config is the plug-in's part of the network configuration.
type config struct {
	Version string          `json:"cniVersion"`
	Result  json.RawMessage `json:"prevResult"`
	Runtime struct {
		// Given by container runtimes that know the capability; then the agent is asked only for pods that ask for capture.
		Annotations *map[string]string `json:"io.kubernetes.cri.pod-annotations"`
	} `json:"runtimeConfig"`
	Agent   string   `json:"agent"`             // its socket
	Exclude []string `json:"excludeNamespaces"` // whose pods must start without the agent
	Ways    []string `json:"ways"`              // of capture, by name, the first that works; none: all
}

// Plugin is one call.
type Plugin struct {
	Env      func(string) string
	In       io.Reader
	Out      io.Writer
	Ways     []capture.Way
	Patience time.Duration // for the agent
	// Within runs a function in the network namespace of a path.
	Within func(path string, do func() error) error
}

// Run does what CNI_COMMAND says, and gives the exit code.
func (p *Plugin) Run() int {
	c, err := p.read()
	if err == nil {
		err = p.command(c)
	}
	if err == nil {
		return 0
	}
	f := &Fault{}
	if !errors.As(err, &f) {
		f = &Fault{Code: codeIO, Message: "I/O failure", Details: err.Error()}
	}
	if f.Version = "1.0.0"; c != nil && slices.Contains(versions, c.Version) {
		f.Version = c.Version
	}
	_ = json.NewEncoder(p.Out).Encode(f) // there is nobody else to tell
	return 1
}

func (p *Plugin) read() (*config, error) {
	raw, err := io.ReadAll(p.In)
	if err != nil {
		return nil, fmt.Errorf("read the network configuration: %w", err)
	}
	c := &config{}
	if err := json.Unmarshal(raw, c); err != nil {
		return nil, fault(codeDecode, "failed to decode the network configuration", "%v", err)
	}
	return c, nil
}

func (p *Plugin) command(c *config) error {
	command := p.Env("CNI_COMMAND")
	if command == "VERSION" {
		return json.NewEncoder(p.Out).Encode(map[string]any{"cniVersion": "1.1.0", "supportedVersions": versions})
	}
	if c.Version == "" {
		c.Version = "0.1.0" // what a configuration without a version means
	}
	if !slices.Contains(versions, c.Version) {
		return fault(codeVersion, "incompatible CNI version", "the configuration is %s; %s understands %s", c.Version, Type, strings.Join(versions, ", "))
	}
	switch command {
	case "ADD":
		return p.add(c)
	case "DEL":
		return p.del()
	case "CHECK":
		return p.check(c)
	case "STATUS", "GC":
		// STATUS: without the agent pods that are not captured, the agent's own among them, start all the same; a node that says it has no network would have none.
		// GC: nothing is kept outside of the pods' namespaces.
		return nil
	case "":
		return fault(codeEnv, "invalid environment variables", "CNI_COMMAND is missing: %s is a CNI plug-in, and container runtimes run it", Type)
	}
	return fault(codeEnv, "invalid environment variables", "CNI_COMMAND %q is not one of ADD, CHECK, DEL, GC, STATUS and VERSION", command)
}

func (p *Plugin) add(c *config) error {
	if len(c.Result) == 0 {
		return fault(codeConfig, "invalid network config", "%s must be chained behind another plug-in: there is no prevResult", Type)
	}
	if err := p.enrol(c); err != nil {
		return err
	}
	_, err := p.Out.Write(c.Result)
	return err
}

// enrol captures the pod if it is to be.
func (p *Plugin) enrol(c *config) error {
	pod, spec, conn, err := p.ask(c)
	if err != nil || spec == nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	path := p.Env("CNI_NETNS")
	if path == "" {
		return fault(codeEnv, "invalid environment variables", "CNI_NETNS is missing")
	}
	var report enrol.Report
	err = p.Within(path, func() error {
		way, fell, err := capture.First(p.allowed(c.Ways), *spec)
		if fell != nil {
			report.Fell = fell.Error()
		}
		if err == nil {
			report.Way = way.String()
		}
		return err
	})
	if err != nil {
		report = enrol.Report{Error: err.Error()}
		_ = conn.Tell(report) // the runtime hears it too
		return fault(codeCapture, "capture failed", "the traffic of pod %s cannot be led to its proxy: %v", pod, err)
	}
	_ = conn.Tell(report) // the pod is captured, whether the agent counts it or not
	return nil
}

// allowed are the ways of some names, in their order.
func (p *Plugin) allowed(names []string) (ways []capture.Way) {
	if len(names) == 0 {
		return p.Ways
	}
	for _, name := range names {
		for _, w := range p.Ways {
			if w.String() == name {
				ways = append(ways, w)
			}
		}
	}
	return ways
}

// ask finds out what is to be captured, nil for nothing. The agent waits for a report when there is something.
func (p *Plugin) ask(c *config) (pod enrol.Pod, spec *capture.Spec, conn *enrol.Conn, err error) {
	pod = podOf(p.Env("CNI_ARGS"))
	if pod.Name == "" || pod.Namespace == "" || slices.Contains(c.Exclude, pod.Namespace) {
		return pod, nil, nil, nil
	}
	if known := c.Runtime.Annotations; known != nil {
		if _, wants := (*known)[Annotation]; !wants {
			return pod, nil, nil, nil
		}
	}
	later := func(err error) error {
		return fault(codeLater, "try again later", "pod %s waits for the Heddle node agent, which captures its traffic and does not answer (%v); look at the pods of the DaemonSet heddle-node on this node", pod, err)
	}
	if conn, err = enrol.Dial(c.Agent, p.Patience); err != nil {
		return pod, nil, nil, later(err)
	}
	answer, err := conn.Ask(pod)
	switch {
	case err != nil:
		err = later(err)
	case answer.Error != "":
		err = fault(codeLater, "try again later", "the Heddle node agent cannot say yet what of pod %s is to be captured: %s", pod, answer.Error)
	case answer.Capture != nil:
		return pod, answer.Capture, conn, nil
	}
	return pod, nil, nil, errors.Join(err, conn.Close())
}

// del takes the rules away. They would go with the namespace as well: no error stops the end of a pod.
func (p *Plugin) del() error {
	path := p.Env("CNI_NETNS")
	if path == "" {
		return nil
	}
	_ = p.Within(path, func() error {
		if w := present(p.Ways); w != nil {
			return w.Remove()
		}
		return nil
	})
	return nil
}

func (p *Plugin) check(c *config) error {
	if len(c.Result) == 0 {
		return fault(codeConfig, "invalid network config", "CHECK needs prevResult")
	}
	pod, spec, conn, err := p.ask(c)
	if err != nil || spec == nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	path := p.Env("CNI_NETNS")
	return p.Within(path, func() error {
		w := present(p.Ways)
		if w == nil {
			return fault(codeNoneLeft, "not captured", "nothing leads the traffic of pod %s to its proxy; delete the pod, so that another is made", pod)
		}
		_ = conn.Tell(enrol.Report{Way: w.String(), Again: true}) // only a count
		return nil
	})
}

// present is the way that captures the namespace of the calling thread. All are asked, because a node may have got a better one since the pod started.
func present(ways []capture.Way) capture.Way {
	for _, w := range ways {
		if there, err := w.Present(); err == nil && there {
			return w
		}
	}
	return nil
}

// podOf reads CNI_ARGS: KEY=VALUE;KEY=VALUE.
func podOf(args string) (p enrol.Pod) {
	for pair := range strings.SplitSeq(args, ";") {
		switch key, value, _ := strings.Cut(pair, "="); key {
		case "K8S_POD_NAMESPACE":
			p.Namespace = value
		case "K8S_POD_NAME":
			p.Name = value
		case "K8S_POD_UID":
			p.UID = value
		}
	}
	return p
}
