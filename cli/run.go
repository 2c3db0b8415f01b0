package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle-mesh/heddle/platform/fabric"
	"github.com/heddle-mesh/heddle/platform/laptop"
)

func run(e *Env) *cobra.Command {
	var r laptop.RunRequest
	c := &cobra.Command{
		Use:                   "run --name NAME [flags] -- COMMAND [ARGUMENT...]",
		DisableFlagsInUseLine: true,
		Short:                 "Put a process of yours into the running mesh",
		Long: `Runs a command as a workload of the mesh: with an identity, mutual TLS, routing and metrics. It calls other services
by their names, and with --port others call it by NAME as soon as it listens. With --service it is one more workload of a
service that exists, such as a new version beside the old one.

It ends when the command ends, with its exit code. Ctrl-C is handed on when the requests that are under way have been
answered; a second Ctrl-C does not wait.`,
		Example: `  heddle run --name hello --port 9000 -- python3 -m http.server 9000
  heddle run --name hello-2 --service hello --version v2 --port 9001 -- python3 -m http.server 9001
  heddle run --name me -- curl -s http://catalog.shop:8080/`,
		Args: theCommand,
		RunE: func(cmd *cobra.Command, args []string) error {
			if r.Name == "" {
				return errors.New("--name is missing; it is the name that others call the process by")
			}
			path, err := exec.LookPath(args[0])
			if err != nil {
				return fmt.Errorf("find %s: %w", args[0], err)
			}
			if r.Path, err = filepath.Abs(path); err != nil {
				return fmt.Errorf("find %s: %w", args[0], err)
			}
			if r.Dir, err = os.Getwd(); err != nil {
				return fmt.Errorf("find the working folder: %w", err)
			}
			r.Args, r.Env = args[1:], e.Environ
			signals := make(chan os.Signal, 4)
			signal.Reset(syscall.SIGINT, syscall.SIGTERM)
			signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
			code, err := laptop.RunIn(cmd.Context(), e.RunDir, r, []*os.File{e.In, e.Out, e.Err}, signals, func(w *laptop.Workload) {
				_, _ = fmt.Fprintf(e.Err, "heddle: %s.%s runs at %s\n", w.Name, w.Namespace, w.Address)
			}, func(note string) { _, _ = fmt.Fprintln(e.Err, "heddle: "+note) })
			if err != nil {
				return err
			}
			if code != 0 {
				return ExitCode(code)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&r.Name, "name", "", "name of the workload, and of its service unless --service says otherwise")
	f.StringVar(&r.Service, "service", "", "service that the workload is a part of")
	f.StringVarP(&r.Namespace, "namespace", "n", "default", "namespace of the workload")
	f.StringVar(&r.Version, "version", "v1", "label version of the workload")
	f.StringVar(&r.Locality, "locality", "", "REGION/ZONE/SUBZONE that the workload is said to run in")
	f.Uint16Var(&r.Port, "port", 0, "port that the command listens on (default: that of the service, if there is one; else it only calls others)")
	f.BoolVar(&r.TCP, "tcp", false, "the port speaks something else than HTTP/1.1")
	for _, name := range []string{"name", "namespace", "version", "port", "service", "locality"} {
		_ = c.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	return c
}

// fabricServe is what heddle up starts to hold the network namespaces. When heddle up is killed, it is the one left to tidy up.
func fabricServe(e *Env) *cobra.Command {
	var keep, plain bool
	c := &cobra.Command{Use: "fabric", Hidden: true, Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		running, lock := inherited(fabric.SocketFD+1, "running"), inherited(fabric.SocketFD+2, "lock")
		if orphaned, err := fabric.Serve(plain); err != nil || !orphaned {
			return err
		}
		return laptop.Sweep(e.RunDir, keep, running, lock, 20*time.Second)
	}}
	c.Flags().BoolVar(&keep, "keep", false, "leave data and logs")
	c.Flags().BoolVar(&plain, "plain", false, "make no namespaces")
	return c
}

// inherited is a descriptor that the parent process gave us, and that ours do not get.
func inherited(fd int, name string) *os.File {
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name)
}

func kubectl(e *Env) *cobra.Command {
	return &cobra.Command{
		Use: "kubectl ...", Short: "kubectl for the mesh's API server, without installing one", DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			for len(args) > 0 && strings.HasPrefix(args[0], "--run-dir") { // flags are not parsed here, so that kubectl gets its own
				if dir, ok := strings.CutPrefix(args[0], "--run-dir="); ok {
					e.RunDir, args = dir, args[1:]
				} else if len(args) > 1 {
					e.RunDir, args = args[1], args[2:]
				} else {
					return errors.New("--run-dir needs a folder")
				}
			}
			s, err := e.running()
			if err != nil && (slices.Contains(args, "--help") || slices.Contains(args, "-h")) { // that takes no mesh
				s, err = &laptop.Status{}, nil
			}
			if err != nil {
				return err
			}
			path := filepath.Join(filepath.Dir(e.Self), "heddle-apiserver")
			env := append(e.Environ, "KUBECONFIG="+s.Kubeconfig)
			if err := syscall.Exec(path, append([]string{path, "kubectl"}, args...), env); err != nil {
				return fmt.Errorf("run %s kubectl: %w; run make build", path, err)
			}
			return nil
		},
	}
}
