package tcp

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// reportEvery is the time between two calls of Observer.Moved (Istio's tcp_reporting_duration).
const reportEvery = 5 * time.Second

// every is how often is told what the connection has moved.
func (s *session) every() time.Duration {
	if m := s.config.Metrics; m != nil && m.Interval > 0 {
		return m.Interval
	}
	return reportEvery
}

// Sessions are the open connections of one worker. The zero value is ready; its methods are the worker's.
type Sessions struct{ first *session }

// Review ends the connections that keep says no to.
func (all *Sessions) Review(keep func(*Record) bool) {
	for s := all.first; s != nil; s = s.next {
		if !s.ending && !keep(&s.record) {
			s.end("")
		}
	}
}

// relayAfter is how many reads in a row that filled the buffer show a stream of bulk. It need not come into the process any more.
const relayAfter = 4

// session is one proxied connection.
//
//	connecting → (joined → over | over)
type session struct {
	all        *Sessions
	prev, next *session

	w         *loop.Worker
	config    *config.TCP
	to        *config.WeightedName
	upstreams Upstreams
	observer  Observer
	record    Record

	down, up side
	cancel   func()
	idle     loop.Alarm
	life     loop.Timer
	report   loop.Timer
	active   loop.Time
	told     struct{ received, sent uint64 }
	joined   bool
	ending   bool
	over     bool
}

// side is one of the two connections and its handler.
type side struct {
	s     *session
	conn  loop.Conn
	other *side
	count *uint64
	full  int  // reads in a row that filled the buffer
	done  bool // OnClose came
}

// Serve proxies a connection that a listener took. observer and listener may be nil.
func (all *Sessions) Serve(c loop.Conn, t *config.TCP, upstreams Upstreams, observer Observer, listener *config.Listener) {
	s := &session{all: all, next: all.first, w: c.Worker(), config: t, to: pick(t.Clusters, c.Worker().Rand()), upstreams: upstreams, observer: observer}
	if all.first = s; s.next != nil {
		s.next.prev = s
	}
	s.record = Record{Listener: listener, Config: t, Downstream: c.Origin(), ClusterName: s.to.Name}
	s.down = side{s: s, conn: c, other: &s.up, count: &s.record.Received}
	s.up = side{s: s, other: &s.down, count: &s.record.Sent}
	s.active = s.w.Now()
	s.idle.Init(s.w, s.idled)
	c.SetHandler(&s.down)
	c.PauseRead() // the client's bytes wait in the kernel until there is somewhere to send them
	if t.MaxDuration > 0 {
		s.life = s.w.After(t.MaxDuration, func() { s.end("DT") })
	}
	s.arm(t.IdleTimeout)
	s.connect()
}

// pick chooses a cluster by weight.
func pick(clusters []config.WeightedName, random uint64) *config.WeightedName {
	total := uint64(0)
	for _, c := range clusters {
		total += uint64(c.Weight)
	}
	if total > 0 {
		at := random % total
		for i := range clusters {
			c := &clusters[i]
			if at < uint64(c.Weight) {
				return c
			}
			at -= uint64(c.Weight)
		}
	}
	if len(clusters) > 0 {
		return &clusters[0]
	}
	return &config.WeightedName{}
}

func (s *session) connect() {
	s.record.Attempts++
	s.cancel = s.upstreams.Connect(s.w, s.to, s.record.Downstream, s.config, s.connected)
}

func (s *session) connected(u Upstream, err error) {
	s.cancel = nil
	if s.ending {
		if err == nil {
			u.Conn.Abort(false)
		}
		return
	}
	if err != nil {
		s.refused(failure(err))
		return
	}
	s.joined = true
	s.record.Upstream = u
	s.up.conn = u.Conn
	u.Conn.SetHandler(&s.up)
	s.down.conn.ResumeRead()
	if s.observer != nil {
		s.observer.Opened(s.w, &s.record)
		s.report = s.w.After(s.every(), s.tell)
	}
}

// refused tries again, as often as the config allows.
func (s *session) refused(f *Failure) {
	s.record.Upstream.Cluster, s.record.Upstream.Endpoint = f.Cluster, f.Endpoint
	s.record.Failure = f.Reason
	if f.Flag == ConnectFailed {
		if s.record.Attempts < int(max(s.config.MaxConnectAttempts, 1)) {
			s.connect()
			return
		}
		s.end("UF,URX") // as Envoy: the limit of attempts is reached, also when it is one
		return
	}
	s.end(f.Flag)
}

// OnData implements loop.Handler.
func (d *side) OnData(p []byte) int {
	to := d.other.conn
	if to == nil {
		return 0
	}
	d.s.active = d.s.w.Now()
	*d.count += uint64(len(p))
	to.Write(p)
	if loop.Full(to) {
		d.conn.PauseRead()
	}
	if d.full++; len(p) < loop.ReadBufferSize {
		d.full = 0
	}
	if d.full >= relayAfter {
		loop.Relay(d.conn, to)
	}
	return len(p)
}

// Relayed implements loop.Relayer.
func (d *side) Relayed(n int) {
	d.full = 0
	d.s.active = d.s.w.Now()
	*d.count += uint64(n)
}

// OnEOF implements loop.Handler: the half close goes on behind the bytes.
func (d *side) OnEOF() {
	d.s.active = d.s.w.Now()
	if d.other.conn != nil {
		d.other.conn.CloseWrite()
	}
}

// OnWritable implements loop.Handler.
func (d *side) OnWritable() {
	if d.other.conn != nil && d.s.joined {
		d.other.conn.ResumeRead()
	}
}

// OnClose implements loop.Handler.
func (d *side) OnClose(err error) {
	s := d.s
	d.done = true
	if d == &s.up {
		if f := s.record.Upstream.Conn.Origin().Failure; f != "" {
			s.record.Failure = f
		}
		if release := s.record.Upstream.Release; release != nil {
			s.record.Upstream.Release = nil
			release(err)
		}
	}
	if other := d.other; other.conn != nil && !other.done {
		// A reset goes on as a reset, so that nobody takes a cut stream for a whole one.
		if errors.Is(err, unix.ECONNRESET) && other.conn.Buffered() == 0 {
			other.conn.Abort(true)
		} else {
			other.conn.Close()
		}
	}
	s.maybeOver()
}

// end closes both sides for a reason of ours.
func (s *session) end(flags string) {
	if s.over || s.ending {
		return
	}
	s.ending = true
	s.record.Flags = flags
	s.down.conn.Abort(false)
	if s.up.conn != nil {
		s.up.conn.Abort(false)
	}
}

// maybeOver finishes when both sides are closed.
func (s *session) maybeOver() {
	if s.over || !s.down.done || s.up.conn != nil && !s.up.done {
		return
	}
	s.over = true
	s.leave()
	if s.cancel != nil {
		s.cancel()
		s.cancel = nil
	}
	s.idle.Stop()
	s.life.Stop()
	s.report.Stop()
	s.record.Duration = s.w.Now().Sub(s.record.Downstream.At)
	if s.observer != nil {
		s.moved()
		s.observer.Closed(s.w, &s.record)
	}
}

// leave takes the session out of the list. Its own links stay, for a Review that stands here.
func (s *session) leave() {
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		s.all.first = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
}

func (s *session) moved() {
	received, sent := s.record.Received-s.told.received, s.record.Sent-s.told.sent
	if received+sent > 0 {
		s.told.received, s.told.sent = s.record.Received, s.record.Sent
		s.observer.Moved(s.w, &s.record, received, sent)
	}
}

func (s *session) tell() {
	s.moved()
	s.report = s.w.After(s.every(), s.tell)
}

func (s *session) arm(d time.Duration) {
	if s.config.IdleTimeout > 0 {
		s.idle.Set(d)
	}
}

// idled looks whether the time has passed since the last byte; so the bytes need not set a timer.
func (s *session) idled() {
	if left := s.config.IdleTimeout - s.w.Now().Sub(s.active); left > 0 {
		s.arm(left)
		return
	}
	s.end("")
}
