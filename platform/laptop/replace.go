package laptop

import (
	"context"
	"errors"
	"fmt"

	"github.com/heddle-mesh/heddle/internal/fdmsg"
)

// replaceProxy starts the proxy of a workload anew, as it is on disk now, and lets go of the old one when the new one serves.
func (m *meshRun) replaceProxy(ctx context.Context, id string) error {
	m.mu.Lock()
	all := m.workloads
	m.mu.Unlock()
	for _, w := range all {
		if w.id() == id {
			return w.proxy.Replace(ctx)
		}
	}
	return fmt.Errorf("workload %s is not in the mesh any more", id)
}

// ReplaceProxy is the caller's side: it asks the mesh in a run folder to replace the proxy of a workload, and waits until the new one serves.
func ReplaceProxy(ctx context.Context, path string, w Workload) error {
	c, err := reach(path)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if err := c.Send(order{Replace: w.Namespace + "/" + w.Name}, nil); err != nil {
		return err
	}
	var e RunEvent
	if _, err := c.Receive(make([]byte, fdmsg.MaxMessage), &e); err != nil {
		return errors.New("the mesh ended")
	}
	if e.Error != "" {
		return errors.New(e.Error)
	}
	return nil
}
