// Package enrol is what the CNI plug-in and the node agent say to each other over a unix socket.
//
// In: a Question for each pod that starts. Out: an Answer that says what is to be captured, and a Report of what came of it. Each is one line of JSON; a connection serves one
// pod. Serve may be used from any goroutine, a Conn from one at a time.
package enrol

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/heddle-mesh/heddle/data/node/capture"
)

// Format is the version of the words here; a newer one is refused.
const Format = 1

// maxLine bounds one line: a Spec with every port excluded has 400 KiB.
const maxLine = 1 << 20

// Pod names a pod. UID may be "": not every container runtime tells it.
type Pod struct{ Namespace, Name, UID string }

// String is NAMESPACE/NAME.
func (p Pod) String() string { return p.Namespace + "/" + p.Name }

// Question asks what is to be done for a pod.
type Question struct {
	Format int
	Pod    Pod
}

// Answer says it. Exactly one of the fields after Format is set.
type Answer struct {
	Format  int
	Capture *capture.Spec // to be applied in the pod's network namespace
	Skip    string        // nothing is to be done, and why
	Error   string        // nobody knows; the pod must not start yet
}

// Report says what the plug-in did with a Spec.
type Report struct {
	Way   string // that captures, "" when none does
	Fell  string // why ways before it do not work
	Again bool   // the pod was captured before: no way was chosen
	Error string // why the pod does not start
}

// Conn is the plug-in's end.
type Conn struct {
	c net.Conn
	r *bufio.Reader
}

// Dial connects to the agent; the whole conversation must end within patience.
func Dial(socket string, patience time.Duration) (*Conn, error) {
	c, err := net.DialTimeout("unix", socket, patience)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &Conn{c: c, r: bufio.NewReader(io.LimitReader(c, maxLine))}, nil
}

// Ask asks for a pod.
func (c *Conn) Ask(p Pod) (*Answer, error) {
	if err := write(c.c, Question{Format, p}); err != nil {
		return nil, err
	}
	var a Answer
	if err := read(c.r, &a); err != nil {
		return nil, err
	}
	if a.Format > Format {
		return nil, fmt.Errorf("the node agent speaks format %d, and this plug-in knows %d", a.Format, Format)
	}
	return &a, nil
}

// Tell reports, and Close ends the conversation.
func (c *Conn) Tell(r Report) error { return write(c.c, r) }

// Close ends the conversation.
func (c *Conn) Close() error { return c.c.Close() }

func write(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

func read(r *bufio.Reader, into any) error {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, into)
}
