package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle-mesh/heddle/data/node/capture"
)

func captureCommand() *cobra.Command {
	var args capture.Arguments
	var clean, dryRun, verify bool
	cmd := &cobra.Command{
		Use: "capture", Short: "Lead the traffic of this network namespace to the proxy (nftables, else iptables; needs NET_ADMIN), and end", Args: cobra.NoArgs,
		Long: `capture writes the packet filter rules of a pod and ends. Its flags are those of istio-iptables. It replaces what an earlier run wrote, in one transaction,
and touches no other table. With --verify it needs no rights and changes nothing: it ends well if what this namespace sends is captured.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if clean {
				return capture.Clear(capture.Ways)
			}
			spec, err := args.Spec()
			if err != nil {
				return err
			}
			if verify {
				return capture.Verify(spec, 5*time.Second)
			}
			for _, r := range capture.Rules(spec) {
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), r)
			}
			if dryRun {
				return nil
			}
			way, fell, err := capture.First(capture.Ways, spec)
			if err != nil {
				return err
			}
			if fell != nil {
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), fell)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "captured with", way)
			return err
		},
	}
	s := cmd.Flags()
	args.Add(s)
	s.BoolVar(&clean, "clean", false, "remove the rules")
	s.BoolVar(&dryRun, "dry-run", false, "print the rules only")
	s.BoolVar(&verify, "verify", false, "only look whether what this namespace sends is captured")
	return cmd
}
