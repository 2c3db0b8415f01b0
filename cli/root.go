// Package cli is the command line of heddle: one file per noun.
//
// In: arguments and an Env, which cmd fills. Out: text on Env.Out, errors of one sentence. Commands keep no state between runs.
package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/heddle-mesh/heddle/platform/laptop"
)

// Env is what the commands may use of the world outside.
type Env struct {
	Version  string
	Self     string // path of this program
	In       *os.File
	Out, Err *os.File
	RunDir   string // default run folder
	Environ  []string
	Color    bool
	Log      *slog.Logger
	usualDir string // RunDir before flags
}

// ExitCode ends the program with a code and without a message.
type ExitCode int

// Error satisfies error.
func (e ExitCode) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Root is the command tree.
func Root(e Env) *cobra.Command {
	e.usualDir = e.RunDir
	root := &cobra.Command{
		Use:   "heddle",
		Short: "A service mesh that explains itself",
		Long: `Heddle is a service mesh: one control plane that speaks the Istio and Gateway APIs, and proxies that obey it.

  heddle up        a whole mesh on this machine, with a sample shop, in ten seconds
  heddle run       put a process of yours into it
  heddle status    what is running, and where`,
		SilenceUsage: true, SilenceErrors: true, Version: e.Version,
	}
	root.PersistentFlags().StringVar(&e.RunDir, "run-dir", e.RunDir, "folder of the running mesh")
	root.SetOut(e.Out)
	root.SetErr(e.Err)
	root.SetFlagErrorFunc(flagError)
	for _, c := range []func(*Env) *cobra.Command{up, down, status, run, kubeconfig, kubectl, proxyStatus, proxyConfig, proxyRestart, tap, injectCommand, installCommand, uninstallCommand, checkCommand, validateCommand, analyzeCommand, sampleCommand, workloadCommand, queryCommand, observeCommand, dashboardCommand, version, fabricServe} {
		root.AddCommand(c(&e))
	}
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			group(c)
		}
	}
	return root
}

func version(e *Env) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(e.Out, e.Version)
			return err
		},
	}
}

// running is the status of the mesh in the run folder, or one clear sentence. While a mesh starts there is nothing to ask yet.
func (e *Env) running() (*laptop.Status, error) {
	s, err := laptop.ReadStatus(e.RunDir)
	if err == nil && s.Starting() {
		return nil, errors.New("the mesh is still starting; heddle status tells when it is ready")
	}
	return s, err
}

// completeWorkloads completes the names of workloads of the running mesh.
func (e *Env) completeWorkloads(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	s, err := e.running()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, w := range s.Workloads {
		names = append(names, w.Name+"."+w.Namespace)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (e *Env) out() io.Writer { return e.Out }
