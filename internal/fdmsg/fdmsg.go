// Package fdmsg sends whole JSON messages with file descriptors between processes of one machine.
//
// In and out: values that encoding/json knows, and open files. Sends and receives of one Conn may run at the same time, but not two of a kind.
package fdmsg

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// MaxMessage bounds one message: the environment of a process is the largest part.
const MaxMessage = 1 << 20

// Conn sends whole JSON messages with descriptors over a SOCK_SEQPACKET pair.
type Conn struct{ *net.UnixConn }

// Send sends one message with descriptors, which the caller keeps.
func (c Conn) Send(message any, files []*os.File) error {
	fds := make([]int, len(files))
	for i, f := range files {
		raw, err := f.SyscallConn() // Fd would make a socket block for all who have it
		if err == nil {
			err = raw.Control(func(fd uintptr) { fds[i] = int(fd) })
		}
		if err != nil {
			return fmt.Errorf("send message: %w", err)
		}
	}
	err := c.SendFDs(message, fds...)
	runtime.KeepAlive(files)
	return err
}

// SendFDs is Send with bare descriptors.
func (c Conn) SendFDs(message any, fds ...int) error {
	b, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if _, _, err := c.WriteMsgUnix(b, rights, nil); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// Receive reads one message and the descriptors that came with it, which the caller owns; buf is scratch of MaxMessage bytes.
func (c Conn) Receive(buf []byte, into any) ([]*os.File, error) {
	oob := make([]byte, unix.CmsgSpace(4*64))
	n, oobn, _, _, err := c.ReadMsgUnix(buf, oob)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, net.ErrClosed
	}
	var files []*os.File
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, fmt.Errorf("read descriptors: %w", err)
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // another kind of ancillary data
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	if err := json.Unmarshal(buf[:n], into); err != nil {
		CloseAll(files)
		return nil, fmt.Errorf("decode message: %w", err)
	}
	return files, nil
}

// CloseAll closes descriptors.
func CloseAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// FromFile makes a Conn of a socket; it takes the file.
func FromFile(f *os.File) (Conn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return Conn{}, fmt.Errorf("open the socket: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return Conn{}, errors.New("open the socket: it is not a unix socket")
	}
	return Wrap(u)
}

// Wrap makes a Conn of a SOCK_SEQPACKET connection.
func Wrap(u *net.UnixConn) (Conn, error) {
	if err := errors.Join(u.SetReadBuffer(MaxMessage), u.SetWriteBuffer(MaxMessage)); err != nil {
		return Conn{}, fmt.Errorf("size the socket: %w", err)
	}
	return Conn{u}, nil
}
