package chain

import (
	"context"
	"fmt"
	"time"

	"github.com/fsnotify/fsnotify"
)

// quiet is how long the folders must be quiet before they are looked at: whoever rewrites a file does so in several steps.
const quiet = 100 * time.Millisecond

// every is how often the folders are looked at although nothing was heard of them.
const every = 15 * time.Second

// Watch ensures, and ensures again whenever somebody changes the folders, until the context ends. Told hears what came of each time that changed something or failed.
func (p *Place) Watch(ctx context.Context, told func(changed []string, err error)) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the network configuration: %w", err)
	}
	defer func() { _ = w.Close() }()
	tick := time.NewTicker(every)
	defer tick.Stop()
	var rest <-chan time.Time
	first := true
	for ctx.Err() == nil {
		if rest == nil {
			changed, err := p.Ensure()
			if first || len(changed) > 0 || err != nil {
				told(changed, err)
			}
			first = false
			for _, dir := range []string{p.BinDir, p.ConfDir} {
				_ = w.Add(dir) // again each time: a folder may have been made anew; without it the ticker is left
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-w.Events:
			if !ok {
				return nil
			}
			rest = time.After(quiet)
		case <-w.Errors:
			rest = time.After(quiet)
		case <-tick.C:
			rest = nil
		case <-rest:
			rest = nil
		}
	}
	return nil
}
