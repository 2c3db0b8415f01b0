package cli

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/heddle-mesh/heddle/platform/laptop"
)

func status(e *Env) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "status", Short: "What is running, and where", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := laptop.ReadStatus(e.RunDir)
			if err != nil {
				return err
			}
			if ok, err := structured(e.out(), format, s); ok {
				return err
			}
			if s.Starting() {
				_, err := fmt.Fprintf(e.Out, "mesh        starting (process %d)\n", s.PID)
				return err
			}
			state := "ready"
			if !s.Ready {
				state = "not ready: " + s.Message
			}
			_, _ = fmt.Fprintf(e.Out, "mesh        %s (process %d, mode %s, since %s)\ningress     %s\nAPI server  %s\nkubeconfig  %s\nheddled     %s\nmetrics     %s\ndashboard   %s\n\n",
				state, s.PID, s.Mode, s.Started, s.Gateway, s.API, s.Kubeconfig, s.Debug, cmp.Or(s.Metrics, "none (--metrics=false)"), cmp.Or(s.Dashboard, "none (--dashboard=false)"))
			t := newTable("NAME", "NAMESPACE", "VERSION", "ADDRESS", "READY", "RESTARTS")
			if format == "wide" {
				t.header = append(t.header, "ADMIN", "ABOUT")
			}
			for _, w := range s.Workloads {
				row := []string{w.Name, w.Namespace, w.Version, w.Address, yes(w.Ready), fmt.Sprint(w.Restarts)}
				if format == "wide" {
					row = append(row, w.ProxyAdmin, w.About)
				}
				t.add(row...)
			}
			for _, p := range s.Processes {
				row := []string{p.Name, "-", "-", "host", yes(p.PID != 0), fmt.Sprint(p.Restarts)}
				if format == "wide" {
					row = append(row, "-", p.Log)
				}
				t.add(row...)
			}
			return t.print(e.out())
		},
	}
	outputFlag(c, &format)
	return c
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func kubeconfig(e *Env) *cobra.Command {
	var pathOnly bool
	c := &cobra.Command{
		Use: "kubeconfig", Short: "Print the kubeconfig of the mesh's API server", Args: noArgs,
		Example: "  export KUBECONFIG=$(heddle kubeconfig --path)\n  heddle kubeconfig > mesh.yaml",
		RunE: func(*cobra.Command, []string) error {
			s, err := e.running()
			if err != nil {
				return err
			}
			if pathOnly {
				_, err := fmt.Fprintln(e.Out, s.Kubeconfig)
				return err
			}
			return copyFile(e.out(), s.Kubeconfig)
		},
	}
	c.Flags().BoolVar(&pathOnly, "path", false, "print the path of the file instead of its content")
	return c
}
