package stream

import "sync/atomic"

// succession is what becomes of a Manager when the configuration changes. A connection outlives its Manager: the next request on it is judged by the successor, so that
// a changed policy holds at once and no connection is lost; without a successor the connection ends.
//
//	in force → (succeeded | retired)
type succession struct {
	next    atomic.Pointer[Manager]
	retired atomic.Bool
}

// Succeed says that next takes the place of m for the requests to come. Safe from any goroutine.
func (m *Manager) Succeed(next *Manager) {
	if next != m {
		m.succession.next.Store(next)
	}
}

// Retire says that nothing takes the place of m: its connections close after the request that they serve, the idle ones with Worker.CloseRetired. Safe from any goroutine.
func (m *Manager) Retire() { m.succession.retired.Store(true) }

// Revive undoes Succeed and Retire.
func (m *Manager) Revive() {
	m.succession.next.Store(nil)
	m.succession.retired.Store(false)
}

// latest is the Manager in force for a connection that began with m.
func (m *Manager) latest() *Manager {
	for n := m.succession.next.Load(); n != nil; n = m.succession.next.Load() {
		m = n
	}
	return m
}

// CloseRetired closes the idle connections whose Manager has no successor.
func (w *Worker) CloseRetired() {
	w.each(func(c client) {
		if c.manager().succession.retired.Load() {
			c.leave()
		}
	})
}
