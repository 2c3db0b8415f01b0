package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/heddle-mesh/heddle/data/proxy/announce"
	"github.com/heddle-mesh/heddle/data/proxy/config/decode"
	"github.com/heddle-mesh/heddle/data/proxy/server"
)

// fileFlags are the flags of a proxy with a bootstrap file.
type fileFlags struct{ path, mode string }

func (f *fileFlags) add(s *pflag.FlagSet) {
	s.StringVarP(&f.path, "config", "c", "", "Envoy bootstrap file, YAML or JSON")
	s.StringVar(&f.mode, "mode", "serve", "serve, or validate: say what cannot be honoured and end")
}

func (f *fileFlags) run(ctx, now context.Context, c *common, out io.Writer) error {
	b, err := os.ReadFile(f.path)
	if err != nil {
		return fmt.Errorf("read the bootstrap file: %w", err)
	}
	switch f.mode {
	case "serve":
	case "validate":
		return validate(f.path, b, out)
	default:
		return fmt.Errorf("--mode %q is not one of serve and validate", f.mode)
	}
	o, err := c.options()
	if err != nil {
		return err
	}
	o.Bootstrap = b
	if err := serve(ctx, now, o); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	return nil
}

// validate prints each problem in a line of its own.
func validate(path string, b []byte, out io.Writer) error {
	_, err := (&decode.Decoder{}).Bootstrap(b)
	var list decode.Problems
	switch {
	case err == nil:
		_, _ = fmt.Fprintf(out, "configuration %s OK\n", path)
		return nil
	case !errors.As(err, &list):
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, p := range list {
		_, _ = fmt.Fprintln(out, p)
	}
	return fmt.Errorf("%s: %d %s cannot be honoured; the lines above name them", path, len(list), map[bool]string{true: "field", false: "fields"}[len(list) == 1])
}

func serve(ctx, now context.Context, o server.Options) error {
	s, err := server.New(o)
	if err != nil {
		return err
	}
	return s.Run(ctx, now)
}

func workloadCommand(ctx, now context.Context, c *common, name string) *cobra.Command {
	kind, short := announce.Sidecar, "Serve beside a workload, as the control plane says"
	if name == "gateway" {
		kind, short = announce.Gateway, "Serve at the edge of the mesh, as the control plane says"
	}
	var f workload
	cmd := &cobra.Command{
		Use: name + " --xds-address ADDRESS --token-file FILE --name NAME --namespace NAMESPACE --service-account ACCOUNT --ip IP", Short: short, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			o, err := c.options()
			if err != nil {
				return err
			}
			if err := f.fill(&o, kind); err != nil {
				return err
			}
			return serve(ctx, now, o)
		},
	}
	f.add(cmd.Flags())
	machineFlag(cmd)
	cmd.Flags().BoolVar(&f.world, "state-of-the-world", false, "state-of-the-world xDS instead of delta")
	return cmd
}
