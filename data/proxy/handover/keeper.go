package handover

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/internal/fdmsg"
)

// Keeper holds the sockets. The zero value holds none.
type Keeper struct {
	mu      sync.Mutex
	held    map[string]int  // descriptors, bare: a file would wake this process for every connection
	pinned  map[string]bool // held whatever the processes want
	serving *Session        // that was ready last
	epoch   int
}

// Session is what one process has to do with a Keeper.
type Session struct {
	keeper *Keeper
	conn   fdmsg.Conn
	ready  chan struct{}
	wants  map[string]bool // guarded by the keeper's lock
	came   bool            // ready was said; guarded by it too
}

// Put holds a copy of a socket before any process asks for it, and until the keeper is closed.
func (k *Keeper) Put(key string, f *os.File) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pinned == nil {
		k.pinned = map[string]bool{}
	}
	k.pinned[key] = true
	return k.put(key, f)
}

func (k *Keeper) put(key string, f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("keep %s: %w", key, err)
	}
	own, failed := 0, error(nil)
	err = raw.Control(func(fd uintptr) { own, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3) })
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("keep %s: %w", key, err)
	}
	if k.held == nil {
		k.held = map[string]int{}
	}
	if old, ok := k.held[key]; ok {
		_ = unix.Close(old) // another socket took its place
	}
	k.held[key] = own
	return nil
}

// Session makes the connection for one process: the file is to be given to it, and closed here afterwards.
func (k *Keeper) Session() (*Session, *os.File, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket for the listening sockets: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "handover")
	ours, err := fdmsg.FromFile(os.NewFile(uintptr(pair[0]), "handover"))
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	k.mu.Lock()
	s := &Session{keeper: k, conn: ours, ready: make(chan struct{}), wants: map[string]bool{}}
	hello := reply{Epoch: k.epoch}
	k.epoch++
	k.mu.Unlock()
	if err := ours.Send(hello, nil); err != nil {
		_ = ours.Close()
		_ = theirs.Close()
		return nil, nil, err
	}
	go s.serve()
	return s, theirs, nil
}

// Ready is closed when the process serves.
func (s *Session) Ready() <-chan struct{} { return s.ready }

// Retire tells the process that another serves in its place.
func (s *Session) Retire() { _ = s.conn.Send(reply{Retire: true}, nil) } // one that has ended needs no telling

// serve answers until the process ends.
func (s *Session) serve() {
	defer s.end()
	buf := make([]byte, 64<<10)
	for {
		var m message
		files, err := s.conn.Receive(buf, &m)
		if err != nil {
			return
		}
		err = s.keeper.answer(s, m, files)
		fdmsg.CloseAll(files)
		if err != nil {
			return
		}
	}
}

// answer does what a process asks for, and says so while the socket cannot be let go of.
func (k *Keeper) answer(s *Session, m message, files []*os.File) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case m.Verb == take:
		fd, ok := k.held[m.Key]
		if !ok {
			return s.conn.Send(reply{}, nil)
		}
		s.wants[m.Key] = true
		return s.conn.SendFDs(reply{Held: true}, fd)
	case m.Verb == keep && len(files) == 1:
		if err := k.put(m.Key, files[0]); err != nil {
			return s.conn.Send(reply{Error: err.Error()}, nil)
		}
		s.wants[m.Key] = true
	case m.Verb == release:
		delete(s.wants, m.Key)
		if (k.serving == s || k.serving == nil) && !k.pinned[m.Key] {
			k.drop(m.Key)
		}
	case m.Verb == ready && !s.came:
		s.came, k.serving = true, s
		k.prune(s.wants)
		close(s.ready)
	case m.Verb != ready:
		return s.conn.Send(reply{Error: fmt.Sprintf("the supervisor does not know %q with %d sockets; restart it with the newer version", m.Verb, len(files))}, nil)
	}
	return s.conn.Send(reply{}, nil)
}

// prune lets go of what nobody wants.
func (k *Keeper) prune(wants map[string]bool) {
	for key := range k.held {
		if !wants[key] && !k.pinned[key] {
			k.drop(key)
		}
	}
}

// drop closes a socket, and removes the file that it is known by.
func (k *Keeper) drop(key string) {
	fd, ok := k.held[key]
	if !ok {
		return
	}
	delete(k.held, key)
	_ = unix.Close(fd) // it is only let go of
	if network, path, _ := strings.Cut(key, " "); network == "unix" && strings.HasPrefix(path, "/") {
		_ = os.Remove(path) // it may be gone already
	}
}

// end is called when a process has ended. What only one opened that never served goes with it.
func (s *Session) end() {
	_ = s.conn.Close()
	k := s.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	if !s.came && k.serving != nil {
		k.prune(k.serving.wants)
	}
}

// Close lets go of all sockets.
func (k *Keeper) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pinned = nil
	k.prune(nil)
}
