// Command heddle-node is the node agent: one on each node of a Kubernetes cluster, as a DaemonSet. It chains the CNI plug-in heddle-cni into the node's network, so that pods
// with a proxy need no privileged init container. `heddle-node remove` takes the plug-in from a node on which no agent runs any more.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/heddle-mesh/heddle/data/bpf/redirect"
	"github.com/heddle-mesh/heddle/data/node/cni"
	"github.com/heddle-mesh/heddle/platform/node"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command(ctx).Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "heddle-node:", err)
		os.Exit(1)
	}
}

// flags are what the command line says.
type flags struct {
	o        node.Options
	repair   string
	exclude  []string
	ways     []string
	logLevel slog.Level
}

func (f *flags) place(s *pflag.FlagSet) {
	s.StringVar(&f.o.Place.BinDir, "cni-bin-dir", "/opt/cni/bin", "folder of the node's CNI plug-ins")
	s.StringVar(&f.o.Place.ConfDir, "cni-conf-dir", "/etc/cni/net.d", "folder of the node's network configurations")
}

func command(ctx context.Context) *cobra.Command {
	var f flags
	root := &cobra.Command{
		Use: "heddle-node", Short: "The node agent of Heddle", Args: cobra.NoArgs, SilenceErrors: true, SilenceUsage: true, Version: version,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE:              func(*cobra.Command, []string) error { return f.run(ctx) },
	}
	s := root.Flags()
	f.place(s)
	s.StringVar(&f.o.Node, "node", "", "name of this node")
	s.StringVar(&f.o.Namespace, "namespace", "", "namespace of the agent")
	s.StringVar(&f.o.DaemonSet, "daemonset", "heddle-node", "name of the agent's DaemonSet")
	s.StringVar(&f.o.Socket, "socket", "/run/heddle-node/cni.sock", "path of the socket for the plug-in, the same here and on the node")
	s.StringVar(&f.o.HTTPAddress, "http-address", ":15014", "address of /ready, /captures and /metrics")
	s.StringVar(&f.o.Place.Program, "cni-program", "/usr/local/bin/"+cni.Type, "the plug-in that is installed")
	s.StringVar(&f.repair, "repair", string(node.RepairDelete), "what becomes of pods that started without capture: delete (those that a controller makes anew), label or none")
	s.StringSliceVar(&f.exclude, "exclude-namespace", []string{"kube-system", "kube-public", "kube-node-lease"}, "namespaces whose pods start without asking the agent; its own is always one")
	s.StringSliceVar(&f.ways, "ways", []string{"ebpf", "nftables", "iptables"}, "ways of capture, the first that works on the node is used: ebpf, nftables, iptables")
	s.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	var p flags
	remove := &cobra.Command{
		Use: "remove", Short: "Take the CNI plug-in from this node", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			p.o.Place.Kind = cni.Type
			return errors.Join(p.o.Place.Remove(), redirect.Remove(redirect.DefaultPin))
		},
	}
	p.place(remove.Flags())
	root.AddCommand(remove)
	return root
}

func (f *flags) run(ctx context.Context) error {
	o := &f.o
	if o.Node == "" || o.Namespace == "" {
		return fmt.Errorf("--node and --namespace are needed: the names of this node and of the agent's namespace")
	}
	switch o.Repair = node.Repair(f.repair); o.Repair {
	case node.RepairDelete, node.RepairLabel, node.RepairNothing:
	default:
		return fmt.Errorf("--repair %q is not one of delete, label and none", f.repair)
	}
	if i := slices.IndexFunc(f.ways, func(w string) bool { return !slices.Contains([]string{"ebpf", "nftables", "iptables"}, w) }); i >= 0 || len(f.ways) == 0 {
		return fmt.Errorf("--ways %q: want some of ebpf, nftables and iptables", strings.Join(f.ways, ","))
	}
	o.Pinned = func() bool { _, err := os.Stat(redirect.DefaultPin); return err == nil }
	o.Unpin = func() error { return redirect.Remove(redirect.DefaultPin) }
	entry, err := entry(o.Socket, append(f.exclude, o.Namespace), f.ways)
	if err != nil {
		return err
	}
	o.Place.Kind, o.Place.Entry = cni.Type, entry
	o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: f.logLevel}))
	klog.SetSlogLogger(o.Log.With("part", "kubernetes"))
	config, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("find the Kubernetes API: %w", err)
	}
	if o.Kube, err = kubernetes.NewForConfig(config); err != nil {
		return fmt.Errorf("find the Kubernetes API: %w", err)
	}
	agent, registry := node.New(*o)
	return agent.Run(ctx, registry)
}

// entry is the plug-in's configuration in the chain.
func entry(socket string, exclude, ways []string) (json.RawMessage, error) {
	return json.Marshal(struct {
		Type         string          `json:"type"`
		Capabilities map[string]bool `json:"capabilities"`
		Agent        string          `json:"agent"`
		Exclude      []string        `json:"excludeNamespaces"`
		Ways         []string        `json:"ways"`
	}{cni.Type, map[string]bool{"io.kubernetes.cri.pod-annotations": true}, socket, exclude, ways})
}
