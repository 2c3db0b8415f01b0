package loop

import (
	"math/bits"
	"time"
)

// The wheel is hierarchical: six levels of 64 slots, the lowest of 1 ms, so that setting and stopping a timer is a list operation and the next
// deadline is found in a bitmap. Timers fire up to 1 ms late, never early.
const (
	wheelBits   = 6
	wheelSlots  = 1 << wheelBits
	wheelLevels = 6
	wheelTick   = Time(time.Millisecond)
)

// Alarm is a timer that its user embeds: arming and stopping allocate nothing. Init it once.
type Alarm struct {
	w          *Worker
	fn         func()
	when       uint64 // in ticks
	prev, next *Alarm
	level      uint8
	slot       uint8
	armed      bool
	pooled     bool
	generation uint32
}

// Init binds the alarm to its worker and function.
func (a *Alarm) Init(w *Worker, fn func()) { a.w, a.fn = w, fn }

// Set arms the alarm to fire d from now, instead of any earlier setting.
func (a *Alarm) Set(d time.Duration) {
	a.Stop()
	at := a.w.now.Add(max(d, 0))
	when := uint64(at / wheelTick)
	if at%wheelTick != 0 {
		when++
	}
	a.when = max(when, a.w.wheel.elapsed+1)
	a.w.wheel.insert(a)
}

// Stop disarms the alarm and says whether it was armed.
func (a *Alarm) Stop() bool {
	if !a.armed {
		return false
	}
	a.w.wheel.remove(a)
	return true
}

// Armed says whether the alarm will fire.
func (a *Alarm) Armed() bool { return a.armed }

// Timer is a handle on one call of Worker.After. The zero Timer is stopped.
type Timer struct {
	a          *Alarm
	generation uint32
}

// Stop prevents the call and says whether it was still to come.
func (t Timer) Stop() bool {
	if t.a == nil || t.a.generation != t.generation || !t.a.armed {
		return false
	}
	w := t.a.w
	t.a.Stop()
	w.wheel.recycle(t.a)
	return true
}

// Active says whether the call is still to come.
func (t Timer) Active() bool { return t.a != nil && t.a.generation == t.generation && t.a.armed }

type wheel struct {
	elapsed  uint64 // ticks that have been processed
	occupied [wheelLevels]uint64
	slots    [wheelLevels][wheelSlots]*Alarm
	free     *Alarm
	count    int
}

func (v *wheel) insert(a *Alarm) {
	// The highest bit in which now and then differ tells the level.
	differ := (v.elapsed ^ a.when) | (wheelSlots - 1)
	level := min((bits.Len64(differ)-1)/wheelBits, wheelLevels-1)
	slot := (a.when >> (level * wheelBits)) & (wheelSlots - 1)
	a.level, a.slot, a.armed = uint8(level), uint8(slot), true
	head := v.slots[level][slot]
	a.prev, a.next = nil, head
	if head != nil {
		head.prev = a
	}
	v.slots[level][slot] = a
	v.occupied[level] |= 1 << slot
	v.count++
}

func (v *wheel) remove(a *Alarm) {
	if a.next != nil {
		a.next.prev = a.prev
	}
	if a.prev != nil {
		a.prev.next = a.next
	} else {
		v.slots[a.level][a.slot] = a.next
		if a.next == nil {
			v.occupied[a.level] &^= 1 << a.slot
		}
	}
	a.prev, a.next, a.armed = nil, nil, false
	v.count--
}

// soonest is the next slot to look at and the tick at which to do so; ok is false when no timer is set.
func (v *wheel) soonest() (level, slot int, tick uint64, ok bool) {
	if v.count == 0 {
		return 0, 0, 0, false
	}
	for level = range wheelLevels {
		occupied := v.occupied[level]
		if occupied == 0 {
			continue
		}
		shift := level * wheelBits
		current := int(v.elapsed>>shift) & (wheelSlots - 1)
		slot = (bits.TrailingZeros64(bits.RotateLeft64(occupied, -current)) + current) & (wheelSlots - 1)
		span := uint64(1) << (shift + wheelBits)
		tick = v.elapsed&^(span-1) + uint64(slot)<<shift
		if slot < current {
			tick += span // only in the top level, which wraps
		}
		return level, slot, tick, true
	}
	return 0, 0, 0, false
}

// next is the time at which advance should be called again.
func (v *wheel) next() Time {
	_, _, tick, ok := v.soonest()
	if !ok || tick > uint64(Never/wheelTick) {
		return Never
	}
	return Time(tick) * wheelTick
}

// advance fires what is due at now.
func (v *wheel) advance(now Time) {
	end := uint64(now / wheelTick)
	for {
		level, slot, tick, ok := v.soonest()
		if !ok || tick > end {
			break
		}
		v.elapsed = max(v.elapsed, tick)
		for a := v.slots[level][slot]; a != nil; a = v.slots[level][slot] {
			v.remove(a)
			if a.when > v.elapsed {
				v.insert(a) // moves to a lower level
				continue
			}
			fn := a.fn
			if a.pooled {
				v.recycle(a)
			}
			fn()
		}
	}
	v.elapsed = max(v.elapsed, end)
}

func (v *wheel) recycle(a *Alarm) {
	a.generation++
	a.fn = nil
	a.next = v.free
	v.free = a
}

func (v *wheel) take(w *Worker, fn func()) *Alarm {
	a := v.free
	if a == nil {
		a = &Alarm{w: w, pooled: true}
	} else {
		v.free, a.next = a.next, nil
	}
	a.fn = fn
	return a
}
