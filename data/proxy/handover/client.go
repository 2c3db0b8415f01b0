package handover

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/heddle-mesh/heddle/internal/fdmsg"
)

// Client is the process's side. A nil Client is that of a process that nobody supervises: nothing is held for it, and nothing is kept.
type Client struct {
	conn    fdmsg.Conn
	epoch   int
	calling sync.Mutex
	answers chan answer
	retired chan struct{}
	gone    chan struct{}
}

type answer struct {
	reply
	files []*os.File
}

// Connect takes over the descriptor that the supervisor gave.
func Connect(fd int) (*Client, error) {
	conn, err := fdmsg.FromFile(os.NewFile(uintptr(fd), "handover"))
	if err != nil {
		return nil, fmt.Errorf("reach the supervisor at descriptor %d: %w", fd, err)
	}
	buf := make([]byte, 64<<10)
	var hello reply
	if _, err := conn.Receive(buf, &hello); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("reach the supervisor at descriptor %d: %w", fd, err)
	}
	c := &Client{conn: conn, epoch: hello.Epoch, answers: make(chan answer), retired: make(chan struct{}), gone: make(chan struct{})}
	go c.read(buf)
	return c, nil
}

func (c *Client) read(buf []byte) {
	defer close(c.gone)
	told := false
	for {
		var a answer
		var err error
		if a.files, err = c.conn.Receive(buf, &a.reply); err != nil {
			return
		}
		if !a.Retire {
			c.answers <- a
		} else if !told {
			told = true
			close(c.retired)
		}
	}
}

// ErrGone says that the supervisor has ended.
var ErrGone = errors.New("the supervisor, which keeps the listening sockets, has ended")

func (c *Client) call(m message, fds ...int) (answer, error) {
	c.calling.Lock()
	defer c.calling.Unlock()
	if err := c.conn.SendFDs(m, fds...); err != nil {
		return answer{}, errors.Join(ErrGone, err)
	}
	select {
	case a := <-c.answers:
		if a.Error != "" {
			fdmsg.CloseAll(a.files)
			return a, errors.New(a.Error)
		}
		return a, nil
	case <-c.gone:
		return answer{}, ErrGone
	}
}

// Take gives the socket that is held under a key, nil when there is none. The caller owns it.
func (c *Client) Take(key string) (*os.File, error) {
	if c == nil {
		return nil, nil
	}
	a, err := c.call(message{Verb: take, Key: key})
	switch {
	case err != nil:
		return nil, fmt.Errorf("take over %s: %w", key, err)
	case !a.Held:
		return nil, nil
	case len(a.files) != 1:
		fdmsg.CloseAll(a.files)
		return nil, fmt.Errorf("take over %s: %d sockets came, want one; too few descriptors may be left (ulimit -n)", key, len(a.files))
	}
	return a.files[0], nil
}

// Keep has a copy of a socket held.
func (c *Client) Keep(key string, fd int) error {
	if c == nil {
		return nil
	}
	if _, err := c.call(message{Verb: keep, Key: key}, fd); err != nil {
		return fmt.Errorf("have %s kept: %w", key, err)
	}
	return nil
}

// Release lets go of a socket, before the caller closes its own: what is connected up to then is the caller's to take. Of a process in whose place another serves, the
// socket stays.
func (c *Client) Release(key string) error {
	if c == nil {
		return nil
	}
	if _, err := c.call(message{Verb: release, Key: key}); err != nil {
		return fmt.Errorf("let go of %s: %w", key, err)
	}
	return nil
}

// Ready says that this process serves: the one before it may retire.
func (c *Client) Ready() error {
	if c == nil {
		return nil
	}
	_, err := c.call(message{Verb: ready})
	return err
}

// Retired is closed when another process serves in the place of this one; never of a nil Client.
func (c *Client) Retired() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.retired
}

// Gone is closed when the supervisor has ended; never of a nil Client.
func (c *Client) Gone() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.gone
}

// Epoch counts the runs of the program from 0, as Envoy's restart epoch does.
func (c *Client) Epoch() int {
	if c == nil {
		return 0
	}
	return c.epoch
}

// Close leaves the supervisor.
func (c *Client) Close() {
	if c != nil {
		_ = c.conn.Close() // the supervisor hears of it, and the process ends
	}
}
