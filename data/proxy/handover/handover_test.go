package handover

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/internal/fdmsg"
)

// process is one run of a program under a keeper.
func process(t *testing.T, k *Keeper) (*Session, *Client) {
	t.Helper()
	s, theirs, err := k.Session()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(theirs.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	c, err := Connect(fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return s, c
}

// open makes a listening unix socket, which its own closing does not remove.
func open(t *testing.T, path string) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	return l
}

func keepIt(t *testing.T, c *Client, key string, l *net.UnixListener) {
	t.Helper()
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = c.Keep(key, int(fd)) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func holds(t *testing.T, c *Client, key string) bool {
	t.Helper()
	f, err := c.Take(key)
	if err != nil {
		t.Fatal(err)
	}
	if f != nil {
		_ = f.Close()
	}
	return f != nil
}

func TestSocketsGoFromProcessToProcess(t *testing.T) {
	k := &Keeper{}
	dir := t.TempDir()
	name := func(n string) (path, key string) {
		path = filepath.Join(dir, n)
		return path, Key("unix", path)
	}
	_, a := process(t, k)
	kept, keptKey := name("kept")
	gone, goneKey := name("gone")
	for _, n := range []string{"kept", "gone"} {
		path, key := name(n)
		if holds(t, a, key) {
			t.Errorf("%s is held before anybody opened it", n)
		}
		l := open(t, path)
		keepIt(t, a, key, l)
		_ = l.Close() // the keeper has a copy
	}
	if err := a.Ready(); err != nil {
		t.Fatal(err)
	}
	// A second one that fails leaves everything as it was, and takes what only it wanted along.
	_, b := process(t, k)
	extra, extraKey := name("extra")
	l := open(t, extra)
	keepIt(t, b, extraKey, l)
	if err := b.Release(keptKey); err != nil {
		t.Fatal(err)
	}
	b.Close()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(extra); err != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the socket of a process that never served stays")
		}
	}
	if !holds(t, a, keptKey) || holds(t, a, extraKey) {
		t.Error("a process that failed changed what is held")
	}
	// A third serves without one of the sockets: that goes, and the first may retire.
	session, c := process(t, k)
	if c.Epoch() != 2 || !holds(t, c, keptKey) {
		t.Error("the socket was not handed over")
	}
	if err := c.Ready(); err != nil {
		t.Fatal(err)
	}
	<-session.Ready()
	if _, err := os.Stat(gone); err == nil || holds(t, c, goneKey) {
		t.Error("a socket that nobody wants is still held")
	}
	if err := a.Release(keptKey); err != nil || !holds(t, c, keptKey) {
		t.Errorf("a process in whose place another serves took its socket away: %v", err)
	}
	if d, err := net.Dial("unix", kept); err != nil {
		t.Error(err)
	} else {
		_ = d.Close()
	}
	session.Retire()
	<-c.Retired()
	k.Close()
	if _, err := os.Stat(kept); err == nil {
		t.Error("the end of the keeper leaves a socket behind")
	}
}

// TestPinnedSocketsStay: those that the supervisor brought itself are not let go of.
func TestPinnedSocketsStay(t *testing.T) {
	k := &Keeper{}
	l := open(t, filepath.Join(t.TempDir(), "x"))
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Put("unix x", f); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	_, c := process(t, k)
	if err := c.Ready(); err != nil {
		t.Fatal(err)
	}
	if err := c.Release("unix x"); err != nil || !holds(t, c, "unix x") {
		t.Errorf("let go of: %v", err)
	}
}

// TestVersionsDiffer: a supervisor answers what only a newer proxy says, and both read over fields that they do not know.
func TestVersionsDiffer(t *testing.T) {
	k := &Keeper{}
	_, c := process(t, k)
	if _, err := c.call(message{Verb: "borrow"}); err == nil || !strings.Contains(err.Error(), `does not know "borrow"`) || !strings.Contains(err.Error(), "restart it") {
		t.Error(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	if err != nil {
		t.Fatal(err)
	}
	newer, err := fdmsg.FromFile(os.NewFile(uintptr(pair[0]), "supervisor"))
	if err != nil {
		t.Fatal(err)
	}
	defer newer.Close()
	if err := newer.Send(map[string]any{"epoch": 7, "weather": "fine"}, nil); err != nil {
		t.Fatal(err)
	}
	old, err := Connect(pair[1])
	if err != nil || old.Epoch() != 7 {
		t.Fatalf("%v", err)
	}
	_ = newer.Close()
	<-old.Gone()
	if err := old.Ready(); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Error(err)
	}
}

// TestNobodySupervises: a nil client keeps nothing and is never told anything.
func TestNobodySupervises(t *testing.T) {
	var c *Client
	if f, err := c.Take("x"); f != nil || err != nil || c.Keep("x", 1) != nil || c.Release("x") != nil || c.Ready() != nil || c.Retired() != nil || c.Gone() != nil || c.Epoch() != 0 {
		t.Error("a nil client does something")
	}
	c.Close()
}
