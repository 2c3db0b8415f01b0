package balance

// Level is one priority: its endpoints, how many of them do not count (yet), and how many may be chosen, those that are degraded only where there are too few others.
type Level struct{ All, Excluded, Healthy, Degraded int }

// part is n as a share of the endpoints that count, in percent.
func (l Level) part(n int) float64 {
	if l.All == l.Excluded {
		return 0
	}
	return 100 * float64(n) / float64(l.All-l.Excluded)
}

// Loads say how requests are split: Healthy[i] and Degraded[i] percent go to the endpoints of priority i that are in this state, all together 100. A priority in panic
// uses all that it has.
type Loads struct {
	Healthy, Degraded []uint32
	Panic             []bool
}

// Priorities splits requests between priorities as Envoy does ("Priority levels", "Degraded endpoints", "Panic threshold"). Each takes as much as its health allows, times
// the overprovisioning factor (percent), before the next gets any; degraded endpoints come after all healthy ones. Where all together are too sick for everything, the
// shares are scaled up, and a priority of which less than the panic threshold (percent) is well panics.
func Priorities(levels []Level, overprovisioning uint32, threshold float64) Loads {
	n := len(levels)
	l := Loads{Healthy: make([]uint32, n), Degraded: make([]uint32, n), Panic: make([]bool, n)}
	healthy, degraded, total := make([]uint32, n), make([]uint32, n), uint32(0)
	for i, v := range levels {
		if count := v.All - v.Excluded; count > 0 {
			healthy[i] = min(100, overprovisioning*uint32(v.Healthy)/uint32(count))
			degraded[i] = min(100, overprovisioning*uint32(v.Degraded)/uint32(count))
		}
		total += healthy[i] + degraded[i]
	}
	if total = min(100, total); total == 100 {
		l.distribute(healthy, degraded, total)
		return l
	}
	all := n > 0
	for i, v := range levels {
		l.Panic[i] = v.part(v.Healthy)+v.part(v.Degraded) < threshold
		all = all && l.Panic[i]
	}
	switch {
	case all:
		l.bySize(levels)
	case total > 0:
		l.distribute(healthy, degraded, total)
	case n > 0:
		l.Healthy[0] = 100
	}
	return l
}

// distribute gives each priority what is available there, as a part of what is available at all.
func (l *Loads) distribute(healthy, degraded []uint32, total uint32) {
	left := uint32(100)
	for i, available := range healthy {
		l.Healthy[i] = min(left, available*100/total)
		left -= l.Healthy[i]
	}
	for i, available := range degraded {
		l.Degraded[i] = min(left, available*100/total)
		left -= l.Degraded[i]
	}
	if left > 0 && !rest(l.Healthy, left) {
		rest(l.Degraded, left)
	}
}

// bySize is the split when everybody panics.
func (l *Loads) bySize(levels []Level) {
	sum, left := 0, uint32(100)
	for _, v := range levels {
		sum += v.All
	}
	for i, v := range levels {
		if sum > 0 {
			l.Healthy[i] = uint32(100 * v.All / sum)
			left -= l.Healthy[i]
		}
	}
	if !rest(l.Healthy, left) {
		l.Healthy[0] = 100
	}
}

// rest gives what rounding has left over to the first that takes any, and says whether one does.
func rest(loads []uint32, left uint32) bool {
	for i := range loads {
		if loads[i] > 0 {
			loads[i] += left
			return true
		}
	}
	return false
}
