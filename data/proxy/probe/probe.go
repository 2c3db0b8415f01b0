// Package probe asks the workload beside a proxy for its health, as the proxy's ProxyConfig says (readinessProbe), and tells when the answer changes.
//
// In: a ProxyConfig in JSON or YAML. Out: a Probe, whose Run calls back at each change. Defaults and meanings are those of Istio's agent (pkg/istio-agent/health): the application is asked
// at localhost, a status from 200 to 399 is well, and one answer decides where no threshold is given. A Probe is for one goroutine.
package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/yaml"
)

// Probe is how a workload is asked.
type Probe struct {
	spec spec
	ask  func(context.Context) error
}

// spec is Istio's ReadinessProbe; exactly one way to ask is set.
type spec struct {
	InitialDelaySeconds int       `json:"initialDelaySeconds"`
	TimeoutSeconds      int       `json:"timeoutSeconds"`
	PeriodSeconds       int       `json:"periodSeconds"`
	SuccessThreshold    int       `json:"successThreshold"`
	FailureThreshold    int       `json:"failureThreshold"`
	HTTPGet             *httpGet  `json:"httpGet"`
	TCPSocket           *socket   `json:"tcpSocket"`
	Exec                *command  `json:"exec"`
	GRPC                *grpcPort `json:"grpc"`
}

// longest bounds the times of a probe: none of use is longer.
const longest = 24 * 60 * 60

// Parse reads the probe of a ProxyConfig; nil is a ProxyConfig without one.
func Parse(proxyConfig string) (*Probe, error) {
	var config struct {
		ReadinessProbe *spec `json:"readinessProbe"`
	}
	if err := yaml.Unmarshal([]byte(proxyConfig), &config); err != nil {
		return nil, fmt.Errorf("readinessProbe: %w", err)
	}
	s := config.ReadinessProbe
	if s == nil {
		return nil, nil
	}
	for _, x := range []struct {
		field   string
		n, most int
	}{
		{"initialDelaySeconds", s.InitialDelaySeconds, longest}, {"timeoutSeconds", s.TimeoutSeconds, longest}, {"periodSeconds", s.PeriodSeconds, longest},
		{"successThreshold", s.SuccessThreshold, longest}, {"failureThreshold", s.FailureThreshold, longest},
	} {
		if x.n < 0 || x.n > x.most {
			return nil, fmt.Errorf("readinessProbe.%s: want a number from 0 to %d, not %d", x.field, x.most, x.n)
		}
	}
	p := &Probe{spec: *s}
	var err error
	switch ways := s.ways(); {
	case ways != 1:
		return nil, errors.New("readinessProbe: want one of httpGet, tcpSocket, exec and grpc")
	case s.HTTPGet != nil:
		p.ask, err = s.HTTPGet.asker()
	case s.TCPSocket != nil:
		p.ask, err = s.TCPSocket.asker()
	case s.Exec != nil:
		p.ask, err = s.Exec.asker()
	default:
		p.ask, err = s.GRPC.asker()
	}
	if err != nil {
		return nil, fmt.Errorf("readinessProbe.%w", err)
	}
	return p, nil
}

func (s *spec) ways() (n int) {
	for _, set := range []bool{s.HTTPGet != nil, s.TCPSocket != nil, s.Exec != nil, s.GRPC != nil} {
		if set {
			n++
		}
	}
	return n
}

// Run asks until the context ends. ready is asked before the workload: one whose proxy is not ready is not well. tell hears of the first answer and of each change.
func (p *Probe) Run(ctx context.Context, ready func(context.Context) error, tell func(healthy bool, message string)) {
	seconds := func(n, otherwise int) time.Duration { return time.Duration(cmp.Or(n, otherwise)) * time.Second }
	if !sleep(ctx, seconds(p.spec.InitialDelaySeconds, 0)) {
		return
	}
	count := tally{good: max(p.spec.SuccessThreshold, 1), bad: max(p.spec.FailureThreshold, 1)}
	tick := time.NewTicker(seconds(p.spec.PeriodSeconds, 10))
	defer tick.Stop()
	for {
		err := p.once(ctx, seconds(p.spec.TimeoutSeconds, 1), ready)
		if ctx.Err() != nil {
			return
		}
		if healthy, changed := count.add(err == nil); changed {
			message := ""
			if err != nil {
				message = err.Error()
			}
			tell(healthy, message)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *Probe) once(ctx context.Context, timeout time.Duration, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := ready(ctx); err != nil {
		return fmt.Errorf("the proxy is not ready: %w", err)
	}
	return p.ask(ctx)
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// tally counts answers in a row. undecided → (well ↔ unwell).
type tally struct {
	good, bad int // how many in a row decide
	run       int // answers like the last one, in a row
	last      bool
	decided   bool
	healthy   bool
}

// add takes an answer and says whether the verdict changed with it.
func (t *tally) add(ok bool) (healthy, changed bool) {
	if ok != t.last {
		t.run = 0
	}
	t.run, t.last = t.run+1, ok
	need := t.bad
	if ok {
		need = t.good
	}
	if t.run < need || t.decided && t.healthy == ok {
		return t.healthy, false
	}
	t.decided, t.healthy = true, ok
	return ok, true
}
