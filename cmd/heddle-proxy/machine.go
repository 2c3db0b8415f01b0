package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/heddle-mesh/heddle/data/proxy/announce"
	"github.com/heddle-mesh/heddle/data/proxy/machine"
	"github.com/heddle-mesh/heddle/data/proxy/probe"
	"github.com/heddle-mesh/heddle/data/proxy/server"
)

// machineFlag lets a command take its flags from the files of a machine outside of Kubernetes. What is given on the command line counts more.
func machineFlag(cmd *cobra.Command) {
	dir := cmd.Flags().String("machine-dir", "", "folder with the files of heddle workload entry configure; other flags count more")
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *dir == "" {
			return run(cmd, args)
		}
		flags, err := machine.Read(*dir)
		if err != nil {
			return err
		}
		given := map[string]bool{}
		for _, f := range flags {
			given[f.Name] = given[f.Name] || cmd.Flags().Changed(f.Name)
		}
		if cmd.Flags().Changed("register-group") || cmd.Flags().Changed("workload-entry") {
			given["register-group"], given["workload-entry"] = true, true // one excludes the other
		}
		for _, f := range flags {
			if given[f.Name] {
				continue
			}
			if err := cmd.Flags().Set(f.Name, f.Value); err != nil {
				return fmt.Errorf("--machine-dir %s: --%s: %w", *dir, f.Name, err)
			}
		}
		return run(cmd, args)
	}
}

// ask makes a proxy ask its workload for its health, where its ProxyConfig says how and the control plane has an entry that can say it.
func ask(o *server.Options, w *announce.Workload) error {
	if !w.Registered() {
		return nil
	}
	p, err := probe.Parse(w.Config)
	if err != nil {
		return fmt.Errorf("--proxy-config: %w", err)
	}
	if p != nil {
		o.Probe = p.Run
	}
	return nil
}
