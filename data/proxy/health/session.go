package health

import (
	"net/netip"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// session checks one endpoint.
//
//	waiting → checking → waiting; ended at any time
type session struct {
	c        *check
	host     *upstream.Host   // who is checked
	endpoint *config.Endpoint // where the checks go
	target   *upstream.Host   // the same; nil before it begins
	probe    probe
	verdict  verdict
	checking bool
	gauged   upstream.Checked // the state that the gauges have counted
	interval loop.Alarm
	timeout  loop.Alarm
}

// probe is how one check is made. It tells the session by report how it ended, once, unless it is cancelled.
type probe interface {
	begin()
	// cancel gives up the check that runs and the connection; nothing is reported.
	cancel()
}

// newSession prepares the checks of an endpoint. id tells it from others at the same address.
func newSession(c *check, h *upstream.Host, id string) *session {
	s := &session{c: c, host: h, endpoint: placed(h.Config(), c.config.Transport, id), gauged: upstream.CheckFailed}
	s.interval.Init(c.p.Loop, s.begin)
	s.timeout.Init(c.p.Loop, s.late)
	switch k := c.config; {
	case k.HTTP != nil:
		s.probe = &httpProbe{s: s}
	case k.GRPC != nil:
		s.probe = &grpcProbe{s: s}
	default:
		s.probe = &tcpProbe{s: s}
	}
	s.gauge(h.Checked())
	return s
}

// placed is where the checks of an endpoint go.
func placed(e *config.Endpoint, labels map[string]string, id string) *config.Endpoint {
	to := &config.Endpoint{Address: e.Address, Path: e.Path, Weight: 1, Transport: e.Transport, Hostname: id, Check: e.Check}
	if labels != nil {
		to.Transport = labels
	}
	if k := e.Check; k != nil {
		if k.Address.IsValid() {
			to.Address, to.Path = k.Address, ""
		}
		if k.Port != 0 {
			to.Address = netip.AddrPortFrom(to.Address.Addr(), k.Port)
		}
	}
	return to
}

// goes says whether the checks of the endpoint, as it is now, are those of the session.
func (s *session) goes(e *config.Endpoint) bool {
	to := placed(e, s.c.config.Transport, "")
	return to.Address == s.endpoint.Address && to.Path == s.endpoint.Path && hostname(e) == hostname(s.endpoint)
}

func hostname(e *config.Endpoint) string {
	if e.Check == nil {
		return ""
	}
	return e.Check.Hostname
}

// authority is the host that a check asks for: the endpoint's own, that of the check, or the cluster's name.
func (s *session) authority(of string) string {
	if own := hostname(s.endpoint); own != "" {
		return own
	}
	if of != "" {
		return of
	}
	return s.c.cluster.Name
}

// start makes the first check, now or in a moment.
func (s *session) start(target *upstream.Host) {
	s.target = target
	if jitter := s.c.config.InitialJitter; jitter > 0 {
		s.interval.Set(jittered(s.c.config, 0, jitter, s.c.p.Loop.Rand))
		return
	}
	s.begin()
}

// begin makes a check.
func (s *session) begin() {
	s.checking = true
	s.c.p.Shard.Inc(s.c.stats.attempt)
	s.timeout.Set(s.c.config.Timeout)
	s.probe.begin()
}

func (s *session) late() {
	s.probe.cancel()
	s.report(late, false)
}

// report takes the outcome of a check. exclude: a failing endpoint asked not to count.
func (s *session) report(o outcome, exclude bool) {
	if !s.checking {
		return
	}
	s.checking = false
	s.timeout.Stop()
	was := s.host.Checked()
	first := !s.verdict.seen
	is, c := s.verdict.judge(s.c.config, o, was)
	if exclude {
		is |= upstream.CheckExcluded
	}
	s.count(o)
	s.tell(o, was, is, first)
	s.interval.Set(pause(s.c.config, o.well(), c, s.c.cluster.Used(), s.c.p.Loop.Rand))
	s.settle(o, was, is)
}

func (s *session) count(o outcome) {
	sh, n := s.c.p.Shard, &s.c.stats
	switch o {
	case passed, passedDegraded:
		sh.Inc(n.success)
	case broken, late:
		sh.Inc(n.network)
		fallthrough
	default:
		sh.Inc(n.failure)
	}
}

// gauge counts the endpoint by its state, which is now another one.
func (s *session) gauge(is upstream.Checked) {
	move := func(n stats.Handle, was, is bool) {
		switch {
		case was && !is:
			s.c.p.Shard.Dec(n)
		case is && !was:
			s.c.p.Shard.Inc(n)
		}
	}
	move(s.c.stats.healthy, s.gauged&upstream.CheckFailed == 0, is&upstream.CheckFailed == 0)
	move(s.c.stats.degraded, s.gauged&upstream.CheckDegraded != 0, is&upstream.CheckDegraded != 0)
	s.gauged = is
}

// tell logs what changes something, and what else the configuration asks for.
func (s *session) tell(o outcome, was, is upstream.Checked, first bool) {
	log, k := s.c.p.Log.With("cluster", s.c.cluster.Name, "endpoint", s.host.Address.String()), s.c.config
	switch failing := is&upstream.CheckFailed != 0; {
	case was&upstream.CheckFailed != 0 && !failing:
		log.Info("an endpoint passes its health checks", "first", first)
	case was&upstream.CheckFailed == 0 && failing:
		log.Info("an endpoint fails its health checks", "reason", o.String())
	case !o.well() && (first || k.LogFailures):
		log.Info("a health check failed", "reason", o.String())
	case o.well() && k.LogPasses:
		log.Info("a health check passed")
	}
}

// failPassively is a failure without a check; the checks go on as they would.
func (s *session) failPassively() {
	was := s.host.Checked()
	is, _ := s.verdict.judge(s.c.config, failed, was)
	is |= upstream.CheckExcluded
	s.tell(failed, was, is, false)
	s.c.p.Shard.Inc(s.c.stats.failure)
	s.c.p.Shard.Inc(s.c.stats.passive)
	s.settle(failed, was, is)
}

// settle puts a new state into force.
func (s *session) settle(o outcome, was, is upstream.Checked) {
	s.gauge(is)
	s.host.SetChecked(is, o.well())
	if s.host.Gone() {
		s.c.drop(s)
	}
	if was&upstream.CheckPending != 0 && s.c.p.Checked != nil && !s.c.cluster.Unchecked() {
		s.c.p.Checked()
	}
}

// end gives up.
func (s *session) end() {
	s.interval.Stop()
	s.timeout.Stop()
	s.checking = false
	s.probe.cancel()
	s.gauge(upstream.CheckFailed)
}

// lost is the outcome of a connection that ended without being asked to, also between two checks.
func (s *session) lost() {
	s.checking = true
	s.interval.Stop()
	s.report(broken, false)
}
