package fabric

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/internal/fdmsg"
	"github.com/heddle-mesh/heddle/internal/spawn"
)

// Client is the supervisor's side.
type Client struct {
	plain bool
	conn  fdmsg.Conn
	cmd   *exec.Cmd
	ended chan struct{} // closed when the fabric is gone

	mu      sync.Mutex
	seq     uint64
	waiting map[uint64]chan reply
	exits   map[string]chan Exit
}

// ErrEnded says that the fabric is gone, and all that ran in it.
var ErrEnded = errors.New("the process that holds the workloads has ended, and they with it")

// Options of Start.
type Options struct {
	Program string   // this program; it must call Serve when it is started with Args
	Args    []string // such as {"fabric"}; with Plain, Serve must be told so
	// Rootless puts the fabric into a user namespace of its own, where the calling user is root.
	Rootless bool
	// Plain makes no namespaces at all.
	Plain  bool
	Stderr *os.File
	// Inherit become the descriptors after SocketFD.
	Inherit []*os.File
}

// Start runs the fabric. When the calling process dies, Serve returns in the fabric, which then ends with everything in it.
func Start(s *spawn.Thread, o Options) (*Client, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make the fabric's socket: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "fabric")
	defer theirs.Close()
	ours, err := fdmsg.FromFile(os.NewFile(uintptr(fds[0]), "fabric"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(o.Program, o.Args...)
	cmd.ExtraFiles = append([]*os.File{theirs}, o.Inherit...)
	cmd.Stderr = o.Stderr
	// A session of its own, without a terminal: what runs here may read one that it is given, and is not stopped for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if !o.Plain {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNET | unix.CLONE_NEWPID
	}
	if o.Rootless {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := s.Start(cmd); err != nil {
		_ = ours.Close()
		return nil, fmt.Errorf("start the process that holds the network namespaces: %w", err)
	}
	if err := greeted(ours, theirs); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = ours.Close()
		return nil, err
	}
	c := &Client{plain: o.Plain, conn: ours, cmd: cmd, ended: make(chan struct{}), waiting: map[uint64]chan reply{}, exits: map[string]chan Exit{}}
	go c.read()
	return c, nil
}

// greeted waits for the first word of a new fabric.
func greeted(ours fdmsg.Conn, theirs *os.File) error {
	theirs.Close() // so that its death is heard
	var r reply
	_, err := ours.Receive(make([]byte, fdmsg.MaxMessage), &r)
	if err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	if err != nil {
		return fmt.Errorf("make network namespaces: %w", err)
	}
	return nil
}

func (c *Client) read() {
	defer c.end()
	buf := make([]byte, fdmsg.MaxMessage)
	for {
		var r reply
		files, err := c.conn.Receive(buf, &r)
		if err != nil {
			return
		}
		r.files = files
		c.mu.Lock()
		if r.Exit != nil {
			if ch := c.exits[r.Exit.ID]; ch != nil {
				ch <- *r.Exit
				delete(c.exits, r.Exit.ID)
			}
		} else if ch := c.waiting[r.Seq]; ch != nil {
			ch <- r
			delete(c.waiting, r.Seq)
		} else {
			fdmsg.CloseAll(files)
		}
		c.mu.Unlock()
	}
}

func (c *Client) end() {
	_ = c.conn.Close()
	_ = c.cmd.Wait() // whatever it says: it is gone
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.ended)
	for id, ch := range c.exits {
		ch <- Exit{ID: id, Signal: int(syscall.SIGKILL)}
		delete(c.exits, id)
	}
}

// Ended is closed when the fabric is gone.
func (c *Client) Ended() <-chan struct{} { return c.ended }

// call sends a request and waits for its answer.
func (c *Client) call(ctx context.Context, r request, files []*os.File) (reply, error) {
	ch := make(chan reply, 1)
	c.mu.Lock()
	c.seq++
	r.Seq = c.seq
	c.waiting[r.Seq] = ch
	err := c.conn.Send(r, files)
	c.mu.Unlock()
	if err != nil {
		return reply{}, err
	}
	select {
	case <-ctx.Done():
		return reply{}, ctx.Err()
	case <-c.ended:
		return reply{}, ErrEnded
	case answer := <-ch:
		if answer.Error != "" {
			return reply{}, errors.New(answer.Error)
		}
		return answer, nil
	}
}

// Namespace makes a namespace with addresses on the bridge; spec nil captures nothing.
func (c *Client) Namespace(ctx context.Context, name string, addresses []netip.Addr, spec *capture.Spec) error {
	r := &namespaceRequest{Name: name, Capture: spec}
	for _, a := range addresses {
		bits := IPv4.Bits()
		if a.Is6() {
			bits = IPv6.Bits()
		}
		r.Addresses = append(r.Addresses, netip.PrefixFrom(a, bits))
	}
	_, err := c.call(ctx, request{Namespace: r}, nil)
	return err
}

// Remove lets go of a namespace; processes that still run in it keep it alive.
func (c *Client) Remove(ctx context.Context, name string) error {
	_, err := c.call(ctx, request{Remove: name}, nil)
	return err
}

// Start starts a process. The channel gets its exit, exactly once.
func (c *Client) Start(ctx context.Context, p Process) (<-chan Exit, error) {
	exit := make(chan Exit, 1)
	c.mu.Lock()
	if _, busy := c.exits[p.ID]; busy {
		c.mu.Unlock()
		return nil, fmt.Errorf("start %s: a process of that name runs already", p.ID)
	}
	c.exits[p.ID] = exit
	c.mu.Unlock()
	if _, err := c.call(ctx, request{Start: &p}, p.Files); err != nil {
		c.mu.Lock()
		delete(c.exits, p.ID)
		c.mu.Unlock()
		return nil, fmt.Errorf("start %s: %w", p.ID, err)
	}
	return exit, nil
}

// Signal sends a signal to a process and those of its group; it is no error when it has ended.
func (c *Client) Signal(ctx context.Context, id string, signal syscall.Signal) error {
	_, err := c.call(ctx, request{Signal: &signalRequest{ID: id, Signal: int(signal)}}, nil)
	return err
}

// Listening gives the addresses in a namespace that some process listens on for a TCP port.
func (c *Client) Listening(ctx context.Context, namespace string, port uint16) ([]netip.Addr, error) {
	answer, err := c.call(ctx, request{Listening: &listeningRequest{Namespace: namespace, Port: port}}, nil)
	return answer.Addresses, err
}

// Datagrams opens a UDP socket at an address in a namespace; it is the caller's.
func (c *Client) Datagrams(ctx context.Context, namespace, address string) (*os.File, error) {
	answer, err := c.call(ctx, request{Datagrams: &datagramsRequest{Namespace: namespace, Address: address}}, nil)
	if err != nil {
		return nil, err
	}
	if len(answer.files) != 1 {
		fdmsg.CloseAll(answer.files)
		return nil, fmt.Errorf("open %s: %d sockets came, want one", address, len(answer.files))
	}
	return answer.files[0], nil
}

// Close ends the fabric and everything in it, and waits for that. With namespaces it is killed, and the kernel takes along what runs in it.
func (c *Client) Close() error {
	if c.plain {
		ctx, stop := context.WithTimeout(context.Background(), 15*time.Second)
		defer stop()
		if _, err := c.call(ctx, request{End: true}, nil); err == nil {
			select {
			case <-c.ended:
				return nil
			case <-ctx.Done():
			}
		}
	}
	_ = c.cmd.Process.Kill()
	<-c.ended
	return nil
}
