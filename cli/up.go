package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/platform/laptop"
)

func up(e *Env) *cobra.Command {
	o := laptop.Options{}
	var detach bool
	var mode string
	c := &cobra.Command{
		Use:   "up",
		Short: "Start a mesh on this machine, with a sample shop",
		Long: `Starts a control plane with an API server of its own, an ingress gateway and a sample shop of small services,
each with a proxy and an identity of its own. Ctrl-C, kill or heddle down end all of it and leave nothing behind.

As root every workload gets a network namespace; without root the same happens inside a user namespace.
Where those are forbidden, --mode proxy does without, by HTTP_PROXY, and says what does not work in it.`,
		Example: "  heddle up --detach         # returns when everything is ready\n  heddle up --empty --keep   # without the shop; data stay for the next start",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tellWhenReady := readyPipe(e.Environ)
			o.RunDir, o.BinDir, o.Mode, o.Out, o.Log, o.Env = e.RunDir, filepath.Dir(e.Self), laptop.Mode(mode), e.Out, e.Log, e.Environ
			o.GatewayPortAsked, o.APIPortAsked = cmd.Flags().Changed("port"), cmd.Flags().Changed("api-port")
			o.MetricsPortAsked, o.DashboardPortAsked = cmd.Flags().Changed("metrics-port"), cmd.Flags().Changed("dashboard-port")
			if detach {
				return e.detached(cmd.Context(), os.Args[1:])
			}
			return laptop.Run(cmd.Context(), o, func(s *laptop.Status) {
				shown := *s
				if link, err := laptop.DashboardLink(cmd.Context(), s); err == nil {
					shown.Dashboard = link
				}
				tour(e.out(), &shown, e.command(), o.Empty)
				tellWhenReady()
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&detach, "detach", false, "return when everything is ready; heddle down ends it")
	f.BoolVar(&o.Empty, "empty", false, "without the sample shop")
	f.IntVar(&o.ProxyMemory, "proxy-memory", laptop.DefaultProxyMemory, "limit of each proxy's memory in `MiB`; a proxy that comes near it refuses requests")
	f.BoolVar(&o.CaptureUDP, "capture-udp", false, "lead what workloads send to services in datagrams (UDP) to their proxies")
	f.BoolVar(&o.Keep, "keep", false, "leave data and logs in the run folder, for the next start")
	f.StringVar(&mode, "mode", "auto", "how workloads are separated: auto, root, rootless, or proxy (no namespaces; programs are told by HTTP_PROXY)")
	_ = c.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions([]string{"auto", "root", "rootless", "proxy"}, cobra.ShellCompDirectiveNoFileComp))
	f.IntVar(&o.GatewayPort, "port", laptop.DefaultGatewayPort, "port of the ingress on this machine; 0 takes any free one")
	f.IntVar(&o.APIPort, "api-port", laptop.DefaultAPIPort, "port of the API server on this machine; 0 takes any free one")
	f.BoolVar(&o.Metrics, "metrics", true, "keep the metrics of all proxies and answer PromQL by Prometheus' HTTP API")
	f.IntVar(&o.MetricsPort, "metrics-port", laptop.DefaultMetricsPort, "port of that API on this machine; 0 takes any free one")
	f.DurationVar(&o.MetricsRetention, "metrics-retention", 24*time.Hour, "how long metrics are kept")
	f.DurationVar(&o.MetricsEvery, "metrics-every", 5*time.Second, "how often metrics are read")
	f.StringVar(&o.MetricsConfig, "metrics-config", "", "`file` in Prometheus' language with remote_write, scrape_configs and global.external_labels to add; paths in it are absolute")
	f.BoolVar(&o.Dashboard, "dashboard", true, "serve the dashboard on this machine")
	f.IntVar(&o.DashboardPort, "dashboard-port", laptop.DefaultDashboardPort, "port of the dashboard on this machine; 0 takes any free one")
	f.Float64Var(&o.Rate, "rate", 5, "requests a second of the traffic generator; 0 switches it off")
	f.DurationVar(&o.Deadline, "timeout", 60*time.Second, "give up when the mesh is not ready after this time")
	return c
}

// readyVariable is in the environment of a detached mesh, which tells on descriptor 3 that it is ready.
const readyVariable = "HEDDLE_READY_FD"

// readyPipe gives the function that tells; the descriptor is ours alone, so that its end is our end.
func readyPipe(environ []string) (tell func()) {
	if !slices.Contains(environ, readyVariable+"=3") {
		return func() {}
	}
	syscall.CloseOnExec(3)
	f := os.NewFile(3, "ready")
	return func() {
		_, _ = fmt.Fprintln(f, "ready")
		f.Close()
	}
}

// command is how to call this program again for the same mesh: by its name when it is in the PATH, else by the shorter of its relative and absolute path.
func (e *Env) command() string {
	c := e.Self
	if found, err := exec.LookPath("heddle"); err == nil {
		if real, err := filepath.EvalSymlinks(found); err == nil && real == e.Self {
			c = "heddle"
		}
	}
	if dir, err := os.Getwd(); err == nil && c == e.Self {
		if rel, err := filepath.Rel(dir, c); err == nil && len(rel) < len(c) {
			c = rel
		}
	}
	c = shellWord(c)
	if e.RunDir != e.usualDir {
		c += " --run-dir " + shellWord(e.RunDir)
	}
	return c
}

// shellWord quotes what a shell would take apart.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// detached starts this program again in a session of its own and waits for its word.
func (e *Env) detached(ctx context.Context, args []string) error {
	var rest []string
	for _, a := range args {
		if a != "--detach" && a != "--detach=true" {
			rest = append(rest, a)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	defer r.Close()
	memory, err := unix.MemfdCreate("heddle up", unix.MFD_CLOEXEC) // no folder is needed for what it says, and nothing is left when we are killed
	if err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	log := os.NewFile(uintptr(memory), "heddle up")
	defer func() { _ = log.Close() }()
	cmd := exec.Command(e.Self, rest...)
	cmd.Env = append(e.Environ, readyVariable+"=3")
	cmd.ExtraFiles = []*os.File{w}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	w.Close()
	ready := make(chan bool, 1)
	go func() {
		b := make([]byte, 16)
		n, _ := r.Read(b)
		ready <- n > 0
	}()
	select {
	case <-ctx.Done():
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		return laptop.ErrStopped
	case ok := <-ready:
		text, _ := io.ReadAll(io.NewSectionReader(log, 0, 1<<20))
		if ok {
			_, _ = e.Out.Write(text)
			return cmd.Process.Release()
		}
		_ = cmd.Wait()
		if len(text) == 0 {
			return errors.New("the mesh was killed before it was ready")
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		return fmt.Errorf("%s", strings.TrimPrefix(lines[len(lines)-1], "heddle: "))
	}
}

func down(e *Env) *cobra.Command {
	var wait time.Duration
	c := &cobra.Command{
		Use: "down", Short: "End the mesh on this machine, and remove what --keep left", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			signal.Ignore(syscall.SIGPIPE)
			return laptop.Down(e.RunDir, wait)
		},
	}
	c.Flags().DurationVar(&wait, "timeout", 30*time.Second, "give up after this time")
	return c
}
