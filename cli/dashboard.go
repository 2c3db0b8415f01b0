package cli

import (
	"fmt"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/heddle-mesh/heddle/platform/laptop"
)

func dashboardCommand(e *Env) *cobra.Command {
	var printOnly bool
	c := &cobra.Command{
		Use: "dashboard", Short: "Open the dashboard, or print its address", Args: noArgs,
		Long: `Prints an address that logs a browser in, once, and opens it where there is a desktop.`,
		Example: `  heddle dashboard
  heddle dashboard --print`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.running()
			if err != nil {
				return err
			}
			link, err := laptop.DashboardLink(cmd.Context(), s)
			if err != nil {
				return err
			}
			if !printOnly && desktop(e.Environ) {
				if opener, err := exec.LookPath("xdg-open"); err == nil {
					open := exec.Command(opener, link)
					open.Env = e.Environ
					_ = open.Start() // the address is printed in any case
				}
			}
			_, err = fmt.Fprintln(e.Out, link)
			return err
		},
	}
	c.Flags().BoolVar(&printOnly, "print", false, "only print the address")
	return c
}

// desktop says whether there is a screen that a browser can be on.
func desktop(environ []string) bool {
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		if (name == "DISPLAY" || name == "WAYLAND_DISPLAY") && value != "" {
			return true
		}
	}
	return false
}
