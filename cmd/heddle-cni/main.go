// Command heddle-cni is a chained CNI plug-in: container runtimes run it when a pod's network is made, and it leads the traffic of pods with a proxy to that proxy.
// The node agent (heddle-node) installs it, and tells it what is to be captured.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/heddle-mesh/heddle/data/bpf/redirect"
	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/data/node/cni"
	"github.com/heddle-mesh/heddle/data/node/netns"
)

func main() {
	if len(os.Args) > 1 {
		fmt.Fprintln(os.Stderr, "heddle-cni: a container runtime runs this program; it takes no arguments")
		os.Exit(1)
	}
	ways := append([]capture.Way{redirect.Way{Options: redirect.Options{Pin: redirect.DefaultPin}}}, capture.Ways...)
	p := cni.Plugin{Env: os.Getenv, In: os.Stdin, Out: os.Stdout, Ways: ways, Patience: 30 * time.Second, Within: within}
	os.Exit(p.Run())
}

// within enters a namespace, but never the one that this program is in: that is the node's.
func within(path string, do func() error) error {
	ns, err := netns.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = ns.Close() }()
	own, err := ns.Own()
	if err != nil {
		return err
	}
	if own {
		return fmt.Errorf("%s is the network namespace of the node, which is not captured", path)
	}
	return ns.Do(do)
}
