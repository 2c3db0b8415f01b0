package upstream

import "github.com/heddle-mesh/heddle/data/proxy/config"

// Checked is what active health checks found of an endpoint, a set.
type Checked uint32

// What may have been found. An endpoint begins as failed and pending.
const (
	CheckFailed   Checked = 1 << iota
	CheckPending          // there was no result yet
	CheckTimeout          // it failed because nothing came
	CheckDegraded         // it passed, and asked to be used last
	CheckExcluded         // it failed, and asked not to count (x-envoy-immediate-health-check-fail)
)

// Checked is what active health checks found; 0 is well, or not checked.
func (h *Host) Checked() Checked { return Checked(h.checked.Load()) }

// SetChecked notes what an active health check made of an endpoint, and whether this one check passed. An endpoint that discovery has removed, and that stayed because its
// checks passed, goes with the first that fails; one that outlier detection has ejected is taken back when a check passes, unless its configuration says otherwise.
func (h *Host) SetChecked(f Checked, passed bool) {
	c := h.Cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	was := Checked(h.checked.Swap(uint32(f)))
	if was&^f&CheckFailed != 0 {
		h.added = c.now() // it starts slowly, as a new one
	}
	d := c.Config().Outlier
	switch {
	case f&CheckFailed != 0 && h.removed.Load():
		c.forget(h)
	case f&CheckFailed == 0 && passed && h.ejected.Load() && d != nil && !d.KeepEjected:
		c.takeBack(h)
	case was == f:
		return
	}
	c.remake()
}

// forget takes an endpoint out; mu is held.
func (c *Cluster) forget(h *Host) {
	hosts := make([]*Host, 0, len(c.hosts))
	for _, other := range c.hosts {
		if other != h {
			hosts = append(hosts, other)
		}
	}
	c.hosts = hosts
	c.release(h)
}

// Removed says that discovery has removed the endpoint, and that it stays because its checks pass.
func (h *Host) Removed() bool { return h.removed.Load() }

// IsChecked says whether active health checks are made of the endpoint.
func (h *Host) IsChecked() bool { return checks(h.Cluster.Config(), h.Config()) }

func checks(c *config.Cluster, e *config.Endpoint) bool {
	return c.Check != nil && (e.Check == nil || !e.Check.Disabled)
}

// begin gives an endpoint the state that it starts with: failed until a check passes, but for one that served already before the cluster was defined anew.
func (c *Cluster) begin(h *Host, before Checked, known bool) {
	switch {
	case !h.IsChecked():
		h.checked.Store(0)
	case known:
		h.checked.Store(uint32(before))
	default:
		h.checked.Store(uint32(CheckFailed | CheckPending))
	}
}

// stays says whether an endpoint that discovery does not list any more is kept, because its checks still pass.
func (c *Cluster) stays(h *Host) bool {
	def := c.Config()
	return def.Check != nil && !def.IgnoreHealthOnRemoval && h.IsChecked() && h.Checked()&CheckFailed == 0 && h.state() != unhealthy
}

// Unchecked says whether any endpoint of the cluster waits for its first check.
func (c *Cluster) Unchecked() bool {
	for _, h := range c.Hosts() {
		if h.Checked()&CheckPending != 0 {
			return true
		}
	}
	return false
}

// Touch notes that the cluster is used. Used says whether it ever was.
func (c *Cluster) Touch() {
	if !c.used.Load() {
		c.used.Store(true)
	}
}

// Used says whether the cluster was ever connected to.
func (c *Cluster) Used() bool { return c.used.Load() }
