package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
)

// Captures says how a node captures. The pods that start show it, and a file beside the socket keeps it for the next agent.
type Captures struct {
	Way  string `json:"way"`            // of the pod that started last; "" before the first one
	Fell string `json:"fell,omitempty"` // why the ways before it do not work on this node
}

// captures is what is known, in memory and in the file. It may be used from any goroutine.
type captures struct {
	mu   sync.Mutex
	now  Captures
	path string
	tell func(way string)
}

func newCaptures(socket string, tell func(way string)) *captures {
	return &captures{path: filepath.Join(filepath.Dir(socket), "captures.json"), tell: tell}
}

// read takes over from the agent before; what cannot be read is not known.
func (c *captures) read() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if text, err := os.ReadFile(c.path); err == nil && json.Unmarshal(text, &c.now) == nil && c.now.Way != "" {
		c.tell(c.now.Way)
	}
}

// set keeps what a pod has shown.
func (c *captures) set(now Captures) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == now {
		return nil
	}
	c.now = now
	c.tell(now.Way)
	text, err := json.Marshal(now)
	if err == nil {
		// A half of it, after a crash, cannot be read, and the next pod writes it anew.
		err = os.WriteFile(c.path, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep how this node captures: %w", err)
	}
	return nil
}

func (c *captures) remove() error {
	if err := os.Remove(c.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove what was kept of how this node captures: %w", err)
	}
	return nil
}

// ServeHTTP answers with it, as JSON.
func (c *captures) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	text, err := json.Marshal(c.now)
	c.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n')) // whoever asked has gone
}
