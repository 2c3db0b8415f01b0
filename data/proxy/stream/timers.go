package stream

import (
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// timers are the alarms of an exchange, bound once so that arming them allocates nothing.
type timers struct {
	overall  loop.Alarm // the route's timeout, from the request's last byte
	try      loop.Alarm // one try's, from when it has a connection
	tryIdle  loop.Alarm // without a byte from the upstream, from then on
	idle     loop.Alarm // without a byte in either direction
	request  loop.Alarm // the whole request must be here (request_timeout)
	duration loop.Alarm // max_stream_duration
	pause    loop.Alarm // back-off, or a filter's delay
	then     func()     // what the pause is for
	idleFor  time.Duration
	active   loop.Time
	tried    loop.Time // when the upstream's last byte came, or the try began to be watched
}

func (t *timers) init(x *Exchange) {
	w := x.w.Loop
	t.overall.Init(w, x.overdue)
	t.try.Init(w, x.tryOverdue)
	t.tryIdle.Init(w, x.tryIdled)
	t.idle.Init(w, x.idled)
	t.request.Init(w, x.requestLate)
	t.duration.Init(w, x.tooLong)
	t.pause.Init(w, func() {
		if then := t.then; then != nil {
			t.then = nil
			then()
		}
	})
}

func (t *timers) stop() {
	t.overall.Stop()
	t.try.Stop()
	t.tryIdle.Stop()
	t.idle.Stop()
	t.request.Stop()
	t.duration.Stop()
	t.pause.Stop()
	t.then = nil
}

// watchIdle arms the stream's idle time-out.
func (x *Exchange) watchIdle(d time.Duration) {
	x.timers.idleFor = d
	x.timers.active = x.w.Loop.Now()
	if d > 0 {
		x.timers.idle.Set(d)
	} else {
		x.timers.idle.Stop()
	}
}

// idled looks whether the time has passed since the last byte, so that bytes need not set a timer.
func (x *Exchange) idled() {
	t := &x.timers
	if left := t.idleFor - x.w.Loop.Now().Sub(t.active); left > 0 {
		t.idle.Set(left)
		return
	}
	x.w.Shard.Inc(x.m.stats.IdleTimeout)
	x.flags = x.flags.With(codec.FlagStreamIdleTimeout)
	x.giveUp(x.timeoutCode(), "stream timeout", "stream_idle_timeout")
}

// timeoutCode blames the client for a request that is not complete.
func (x *Exchange) timeoutCode() int {
	if x.requestDone {
		return 504
	}
	return 408
}

func (x *Exchange) requestLate() {
	x.w.Shard.Inc(x.m.stats.Timeout)
	x.giveUp(408, "request timeout", "request_overall_timeout")
}

// giveUp ends the exchange by our own decision.
func (x *Exchange) giveUp(status int, body, details string) {
	x.endTry()
	x.Reply(status, body, details)
}

// Delay makes a filter wait: then is called after d unless the exchange ends before.
func (x *Exchange) Delay(d time.Duration, then func()) {
	x.timers.then = then
	x.timers.pause.Set(d)
}
