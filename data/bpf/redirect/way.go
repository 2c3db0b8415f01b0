package redirect

import (
	"errors"
	"fmt"

	"github.com/heddle-mesh/heddle/data/node/capture"
)

// Way is capture by these programs of what leaves a pod, and by the packet filter of what arrives. It puts the programs in force when they are not yet, or are another build's.
// Options.Pin must be set. It may be used from any goroutine and process.
type Way struct{ Options }

// String is its name.
func (Way) String() string { return "ebpf" }

// Apply implements capture.Way.
func (w Way) Apply(s capture.Spec) error {
	p, err := w.open()
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	return p.apply(s)
}

// open gives the maps of programs that are in force, and puts them there if need be.
func (w Way) open() (*Pods, error) {
	if w.Pin == "" {
		return nil, errors.New("nobody keeps the programs: no folder for pins is set")
	}
	if p, err := Open(w.Pin); err == nil {
		return p, nil
	}
	h, err := Load(w.Options)
	if err != nil {
		return nil, err
	}
	if err := h.Attach(); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	if err := h.Close(); err != nil {
		return nil, fmt.Errorf("let go of the programs: %w", err)
	}
	return Open(w.Pin)
}

// Remove implements capture.Way. The programs stay for other pods.
func (w Way) Remove() error {
	p, err := Open(w.Pin)
	if err != nil {
		return capture.Clear(capture.Ways) // nothing of ours is captured
	}
	defer func() { _ = p.Close() }()
	return p.remove()
}

// Present implements capture.Way.
func (w Way) Present() (bool, error) {
	p, err := Open(w.Pin)
	if err != nil {
		return false, nil // no program is in force
	}
	defer func() { _ = p.Close() }()
	return p.present()
}

// Held is a Way whose programs end with the process, however it ends. It may be used from any goroutine, for one namespace by one at a time.
type Held struct{ hooks *Hooks }

// Hold puts the programs in force. Options.Pin has no meaning.
func Hold(o Options) (*Held, error) {
	o.Pin = ""
	h, err := Load(o)
	if err != nil {
		return nil, err
	}
	if err := h.Attach(); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return &Held{h}, nil
}

// String is its name.
func (*Held) String() string { return "ebpf" }

// Apply implements capture.Way.
func (h *Held) Apply(s capture.Spec) error { return h.hooks.apply(s) }

// Remove implements capture.Way.
func (h *Held) Remove() error { return h.hooks.remove() }

// Present implements capture.Way.
func (h *Held) Present() (bool, error) { return h.hooks.present() }

// Close ends all capture by it.
func (h *Held) Close() error { return h.hooks.Close() }

// apply captures the namespace of the calling thread.
func (p *Pods) apply(s capture.Spec) error {
	if err := arrivals(s); err != nil {
		return err
	}
	pod, err := Look(s)
	if err != nil {
		return err
	}
	return p.Enrol(pod)
}

// arrivals captures what arrives, and datagrams: their table is the packet filter's.
func arrivals(s capture.Spec) error {
	if s.NoInbound && !s.Datagrams {
		return capture.Clear(capture.Ways)
	}
	_, _, err := capture.First(capture.Ways, Rest(s))
	return err
}

func (p *Pods) remove() error {
	number, err := cookie()
	if err != nil {
		return err
	}
	return errors.Join(p.Release(number), capture.Clear(capture.Ways))
}

func (p *Pods) present() (bool, error) {
	number, err := cookie()
	if err != nil {
		return false, err
	}
	return p.Enrolled(number)
}
