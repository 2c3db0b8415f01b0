package capture

import (
	"errors"
	"fmt"
)

// Way is one way of capturing what a network namespace sends and receives. Its methods work in the network namespace of the calling thread.
type Way interface {
	fmt.Stringer
	// Apply captures what the Spec says, in place of what an earlier Apply of the same Way did.
	Apply(Spec) error
	// Remove takes away what Apply did; it is no error when there is nothing.
	Remove() error
	// Present says whether Apply was here.
	Present() (bool, error)
}

// Ways are those that need nothing but the namespace, the best first.
var Ways = []Way{NFTables{}, IPTables{}}

// First captures in the first of the ways that works here. Fell says why the ones before it do not; it is nil when the first one works. What a way that does not work has
// done is taken away again.
func First(ways []Way, s Spec) (used Way, fell, err error) {
	for _, w := range ways {
		err := w.Apply(s)
		if err == nil {
			return w, fell, nil
		}
		_ = w.Remove() // the error above is the one to tell
		fell = errors.Join(fell, fmt.Errorf("%s does not work: %w", w, err))
	}
	return nil, nil, fell
}

// Clear takes away what any of the ways did. A way that cannot work here has done nothing, so an error of one counts only when all of them fail.
func Clear(ways []Way) error {
	var all error
	worked := false
	for _, w := range ways {
		err := w.Remove()
		worked = worked || err == nil
		all = errors.Join(all, err)
	}
	if worked {
		return nil
	}
	return all
}
