package fabric

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/data/node/netns"
	"github.com/heddle-mesh/heddle/internal/fdmsg"
	"github.com/heddle-mesh/heddle/internal/spawn"
)

// SocketFD is the descriptor of the socket to the supervisor in the fabric's process.
const SocketFD = 3

// server is the fabric itself.
type server struct {
	conn       fdmsg.Conn
	plain      bool
	home       *netns.Namespace // nil: plain
	thread     *spawn.Thread
	ports      int
	namespaces map[string]*netns.Namespace

	mu        sync.Mutex
	processes map[string]*os.Process
}

// Serve is the fabric's main loop: it answers the supervisor until that asks it to end or dies, and kills everything that runs here. Orphaned says that the
// supervisor has died.
func Serve(plain bool) (orphaned bool, err error) {
	unix.CloseOnExec(SocketFD)
	c, err := fdmsg.FromFile(os.NewFile(SocketFD, "fabric"))
	if err != nil {
		return false, err
	}
	s := &server{conn: c, plain: plain, thread: spawn.NewThread(), namespaces: map[string]*netns.Namespace{}, processes: map[string]*os.Process{}}
	greeting := reply{}
	if err = s.prepare(); err != nil {
		greeting.Error = err.Error()
	}
	if err := errors.Join(err, c.Send(greeting, nil)); err != nil {
		return false, err
	}
	buf := make([]byte, fdmsg.MaxMessage)
	for {
		var r request
		files, err := c.Receive(buf, &r)
		if err != nil { // the supervisor is gone
			s.killAll()
			return true, nil
		}
		answer := reply{Seq: r.Seq}
		if err := s.do(r, files, &answer); err != nil {
			answer.Error = err.Error()
		}
		fdmsg.CloseAll(files)
		err = s.conn.Send(answer, answer.files)
		fdmsg.CloseAll(answer.files)
		if err != nil {
			return false, err
		}
		if r.End {
			return false, nil
		}
	}
}

// prepare makes the bridge or, in a plain fabric, sees to it that processes which their parents leave behind become ours.
func (s *server) prepare() (err error) {
	if s.plain {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("adopt processes: %w", err)
		}
		return nil
	}
	if s.home, err = netns.Current(); err != nil {
		return err
	}
	return s.home.Bridge(bridge, IPv4, IPv6)
}

// killAll ends everything that runs here.
func (s *server) killAll() {
	if os.Getpid() == 1 { // of our process namespace: nobody else can be hit
		syscall.Kill(-1, syscall.SIGKILL)
	}
	if s.plain {
		killDescendants()
	}
}

func (s *server) do(r request, files []*os.File, answer *reply) (err error) {
	switch {
	case r.Namespace != nil:
		return s.add(r.Namespace)
	case r.Remove != "":
		ns, ok := s.namespaces[r.Remove]
		if !ok {
			return fmt.Errorf("remove namespace %s: there is none of that name", r.Remove)
		}
		delete(s.namespaces, r.Remove)
		return ns.Close()
	case r.Start != nil:
		answer.PID, err = s.start(r.Start, files)
		return err
	case r.Signal != nil:
		return s.signal(*r.Signal)
	case r.Listening != nil:
		answer.Addresses, err = s.listening(*r.Listening)
		return err
	case r.Datagrams != nil:
		answer.files, err = s.datagrams(*r.Datagrams)
		return err
	case r.End:
		s.killAll()
		return nil
	}
	return errors.New("the fabric does not know this request")
}

func (s *server) add(r *namespaceRequest) error {
	if s.plain {
		return errPlain
	}
	if _, ok := s.namespaces[r.Name]; ok {
		return fmt.Errorf("add namespace %s: there is one of that name already", r.Name)
	}
	ns, err := netns.New()
	if err != nil {
		return fmt.Errorf("add namespace %s: %w", r.Name, err)
	}
	s.ports++
	gateways := []netip.Addr{IPv4.Addr(), IPv6.Addr()}
	if err := ns.Wire(s.home, bridge, fmt.Sprintf("w%d", s.ports), r.Addresses, gateways); err != nil {
		_ = ns.Close()
		return fmt.Errorf("add namespace %s: %w", r.Name, err)
	}
	if r.Capture != nil {
		if err := ns.Do(func() error { return capture.Apply(capture.Rules(*r.Capture)) }); err != nil {
			_ = ns.Close()
			return fmt.Errorf("add namespace %s: %w", r.Name, err)
		}
	}
	s.namespaces[r.Name] = ns
	return nil
}

var errPlain = errors.New("there are no namespaces in a plain fabric")

// start runs a process in a group of its own; it is killed when the fabric's spawning thread, and so the fabric, ends.
func (s *server) start(p *Process, files []*os.File) (int, error) {
	if len(files) < 3 {
		return 0, errors.New("three standard descriptors are needed")
	}
	cmd := &exec.Cmd{Path: p.Path, Args: append([]string{p.Path}, p.Args...), Env: p.Env, Dir: p.Dir,
		Stdin: files[0], Stdout: files[1], Stderr: files[2], ExtraFiles: files[3:]}
	if p.Open {
		program, err := openProgram(p.Path)
		if err != nil {
			return 0, err
		}
		defer func() { _ = program.Close() }() // it was only read
		cmd.Path = fmt.Sprintf("/proc/self/fd/%d", program.Fd())
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if p.UID >= 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(p.UID), Gid: uint32(p.UID)}
	}
	ns, err := s.namespace(p.Namespace)
	if err != nil {
		return 0, err
	}
	err = s.thread.Do(func() error {
		if s.plain {
			return cmd.Start()
		}
		if err := ns.Enter(); err != nil {
			return err
		}
		return errors.Join(cmd.Start(), s.home.Enter())
	})
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.processes[p.ID] = cmd.Process
	s.mu.Unlock()
	go s.wait(p.ID, cmd)
	return cmd.Process.Pid, nil
}

// openProgram opens a program at a descriptor that is higher than any that a process is given: those are in place before it is looked up.
func openProgram(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // the copy stays
	high, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 64)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return os.NewFile(uintptr(high), path), nil
}

// namespace finds a namespace by name; "" is the fabric's own.
func (s *server) namespace(name string) (*netns.Namespace, error) {
	if name == "" {
		return s.home, nil
	}
	ns, ok := s.namespaces[name]
	if !ok {
		return nil, fmt.Errorf("there is no namespace %s", name)
	}
	return ns, nil
}

func (s *server) datagrams(r datagramsRequest) (files []*os.File, err error) {
	ns, err := s.namespace(r.Namespace)
	if err != nil {
		return nil, err
	}
	if s.plain {
		return nil, errPlain
	}
	err = ns.Do(func() error {
		pc, err := net.ListenPacket("udp", r.Address)
		if err != nil {
			return err
		}
		defer func() { _ = pc.Close() }() // the file is a copy
		f, err := pc.(*net.UDPConn).File()
		files = []*os.File{f}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open a UDP socket: %w", err)
	}
	return files, nil
}

func (s *server) listening(r listeningRequest) (found []netip.Addr, err error) {
	ns, err := s.namespace(r.Namespace)
	if err != nil {
		return nil, err
	}
	if s.plain {
		return netns.Listening(r.Port)
	}
	err = ns.Do(func() (err error) {
		found, err = netns.Listening(r.Port)
		return err
	})
	return found, err
}

func (s *server) wait(id string, cmd *exec.Cmd) {
	_ = cmd.Wait() // the state tells all there is to know
	s.mu.Lock()
	delete(s.processes, id)
	s.mu.Unlock()
	exit := Exit{ID: id, Code: cmd.ProcessState.ExitCode()}
	if w, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		exit.Signal = int(w.Signal())
	}
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind in its group
	_ = s.conn.Send(reply{Exit: &exit}, nil)        // a dead supervisor needs no news
}

func (s *server) signal(r signalRequest) error {
	s.mu.Lock()
	p := s.processes[r.ID]
	s.mu.Unlock()
	if p == nil {
		return nil
	}
	if err := syscall.Kill(-p.Pid, syscall.Signal(r.Signal)); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %s: %w", r.ID, err)
	}
	return nil
}
