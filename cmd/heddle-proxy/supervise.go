package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle-mesh/heddle/data/proxy/handover"
	"github.com/heddle-mesh/heddle/internal/program"
)

// ended0 is how a proxy ends that was asked to.
const ended0 = "exit status 0"

// supervisor runs a proxy, keeps its listening sockets, and replaces it when asked to.
type supervisor struct {
	socket   string // where hot-restart asks; "" for SIGHUP only
	patience time.Duration
	path     string
	args     []string // of the proxy
	log      *slog.Logger
	keeper   handover.Keeper
	program  program.Program
}

func superviseCommand(ctx, now context.Context) *cobra.Command {
	var s supervisor
	cmd := &cobra.Command{
		Use:   "supervise [--socket PATH] -- ARGUMENTS...",
		Short: "Run a heddle-proxy, keep its listening sockets, and replace it without a gap (hot-restart, or SIGHUP)",
		Long: `supervise runs heddle-proxy with the arguments behind --, and starts it again when it dies: connections wait in the listening sockets meanwhile.
When the proxy is asked to end (POST /quitquitquit), supervise ends too.
SIGHUP, or the command hot-restart with the same --socket, starts the program as it is on disk now beside the one that runs. When the new one serves, the old one
accepts no more and finishes what it has begun. When the new one does not come up, the old one goes on.`,
		RunE: func(_ *cobra.Command, args []string) (err error) {
			if s.args = args; len(args) == 0 {
				return errors.New("supervise: nothing to run; write the arguments of the proxy behind --, such as: supervise -- -c FILE")
			}
			if s.log, _, err = logger("info"); err != nil {
				return err
			}
			return s.run(ctx, now)
		},
	}
	cmd.Flags().StringVar(&s.socket, "socket", "", "path of a unix socket where hot-restart asks")
	cmd.Flags().DurationVar(&s.patience, "ready-time", time.Minute, "the longest time that a new proxy may take until it serves")
	return cmd
}

func (s *supervisor) run(ctx, now context.Context) (err error) {
	if s.path, err = self(); err != nil {
		return err
	}
	defer s.keeper.Close()
	s.program = program.Program{Name: "proxy", Log: s.log, Patience: s.patience, Grace: 24 * time.Hour, Start: s.start,
		Over: func(how string) bool { return how == ended0 }} // somebody asked for it (/quitquitquit)
	var asked net.Listener
	if s.socket != "" {
		if asked, err = s.open(); err != nil {
			return err
		}
		defer asked.Close()
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	var running sync.WaitGroup
	// A second signal to us is a second one to the proxy, which then ends at once.
	defer context.AfterFunc(now, func() {
		if pid, _, _ := s.program.State(); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGTERM) // it may have ended
		}
	})()
	if err := s.program.Begin(ctx, &running); err != nil {
		return err
	}
	if asked != nil {
		go s.serve(ctx, asked)
	}
	for {
		select {
		case <-hangups:
			go func() { _ = s.restart(ctx) }() // the log tells
		case <-s.program.Done():
			return nil
		}
	}
}

// self is where this program is found again when a newer one has taken its place.
func self() (string, error) {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	return path, nil
}

// start runs the proxy once.
func (s *supervisor) start(context.Context) (program.Process, error) {
	session, theirs, err := s.keeper.Session()
	if err != nil {
		return program.Process{}, err
	}
	defer func() { _ = theirs.Close() }()
	cmd := exec.Command(s.path, append([]string{"--supervisor-fd", "3"}, s.args...)...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = os.Stdout, os.Stderr, []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to hand on
	if err := cmd.Start(); err != nil {
		return program.Process{}, fmt.Errorf("start %s: %w", s.path, err)
	}
	ended := make(chan string, 1)
	go func() {
		how := ended0
		if err := cmd.Wait(); err != nil {
			how = err.Error()
		}
		ended <- how
	}()
	return program.Process{PID: cmd.Process.Pid, Ended: ended, Ready: session.Ready(), Retire: session.Retire,
		Signal: func(n syscall.Signal) { _ = cmd.Process.Signal(n) }}, nil // it may have ended
}

func (s *supervisor) restart(ctx context.Context) error {
	err := s.program.Replace(ctx)
	if err != nil {
		s.log.Error("hot restart failed", "error", err)
		return err
	}
	pid, _, _ := s.program.State()
	s.log.Info("hot restart done", "pid", pid)
	return nil
}

// open makes the socket where hot-restart asks; one of a supervisor that was killed is replaced.
func (s *supervisor) open() (net.Listener, error) {
	if c, err := net.DialTimeout("unix", s.socket, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("--socket %s: another supervisor serves it", s.socket)
	}
	if i, err := os.Lstat(s.socket); err == nil && i.Mode()&os.ModeSocket != 0 {
		_ = os.Remove(s.socket) // Listen tells what is wrong
	}
	l, err := net.Listen("unix", s.socket)
	if err == nil {
		err = os.Chmod(s.socket, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("--socket: %w", err)
	}
	return l, nil
}

// serve restarts the proxy for each caller, and tells it how that went: an empty line, or what is wrong.
func (s *supervisor) serve(ctx context.Context, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			if line, err := bufio.NewReader(io.LimitReader(c, 64)).ReadString('\n'); err != nil || line != "hot-restart\n" {
				return
			}
			answer := ""
			if err := s.restart(ctx); err != nil {
				answer = err.Error()
			}
			_, _ = fmt.Fprintln(c, answer) // a caller that is gone wants no answer
		}()
	}
}

func hotRestartCommand() *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use: "hot-restart --socket PATH", Short: "Have a supervisor replace its proxy without a gap, and wait until that is done", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if socket == "" {
				return errors.New("hot-restart: --socket is missing; it is that of heddle-proxy supervise")
			}
			c, err := net.Dial("unix", socket)
			if err != nil {
				return fmt.Errorf("hot-restart: no supervisor answers: %w", err)
			}
			defer c.Close()
			if _, err := fmt.Fprintln(c, "hot-restart"); err != nil {
				return fmt.Errorf("hot-restart: %w", err)
			}
			answer, err := bufio.NewReader(c).ReadString('\n')
			if err != nil {
				return errors.New("hot-restart: the supervisor ended")
			}
			if answer = strings.TrimSpace(answer); answer != "" {
				return fmt.Errorf("hot-restart: %s", answer)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&socket, "socket", "", "path of the supervisor's socket")
	return cmd
}
