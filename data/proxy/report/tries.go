package report

import (
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/telemetry/tap"
)

// tell tells the tries, and sums up where the time went.
func (p *passage) tell(e *tap.Event) {
	t := &tap.Times{Before: millis(p.times.Whole), Whole: millis(p.times.Whole)}
	for i := range p.tries {
		one := p.tries[i].told(p)
		if i == 0 {
			t.Before = one.Began
		}
		t.Queue, t.Connect, t.TLS, t.First = t.Queue+max(one.Queue, 0), t.Connect+max(one.Connect, 0), t.TLS+max(one.TLS, 0), t.First+max(one.First, 0)
		e.Tries, e.Why = append(e.Tries, one), one.Why
	}
	if p.times.Response >= 0 {
		t.Answer = millis(p.times.Whole - p.times.Response)
	}
	e.Times = t
}

// told is a try in words. One whose end was never noted was given up with the exchange.
func (t *try) told(p *passage) tap.Try {
	out := tap.Try{Number: t.Number, Endpoint: t.Endpoint.String(), Status: t.Status, Began: millis(t.began), Why: t.Choice.Reason(), Queue: -1, Connect: -1, TLS: -1, First: -1}
	if w := ParseWorkload(t.Workload); w.Name != "" {
		out.Workload = w.Name + "." + w.Namespace
	}
	end := t.ended
	if end < 0 {
		end = p.times.Whole
		if t.Status == 0 {
			out.Failure = "given up"
		}
	}
	out.Duration = millis(end - t.began)
	switch {
	case t.Reason != codec.NoReason:
		if out.Failure = t.Reason.String(); t.Detail != "" {
			out.Failure += ": " + t.Detail
		}
	case t.Detail != "":
		out.Failure = t.Detail
	}
	if t.ready >= 0 {
		t.connection(&out)
		if t.Status != 0 {
			out.First = millis(end - t.ready)
		}
	}
	if c := out.Why; c != nil {
		p.keys(c)
	}
	return out
}

// connection tells how the connection came about. Of one that was dialled before the try what was over by then is not counted; the kernel and the clock of a turn round times,
// so that a wait can come out as nothing.
func (t *try) connection(out *tap.Try) {
	waited := t.ready - t.began
	if t.connected < 0 || t.connected <= t.began && (t.secured < 0 || t.secured <= t.began) {
		out.Reused, out.Queue = true, millis(waited)
		return
	}
	connect := max(0, t.connected-max(t.began, t.dialled))
	shake := time.Duration(0)
	if t.secured >= 0 {
		shake = max(0, t.secured-max(t.began, t.connected))
		out.TLS = millis(shake)
	}
	out.Connect, out.Queue = millis(connect), millis(max(0, waited-connect-shake))
}

// keys adds what a hash was made of, and what names a session's endpoint.
func (p *passage) keys(c *tap.Choice) {
	if c.Policy == "ring_hash" || c.Policy == "maglev" {
		for i := range p.hash {
			if i >= 32 || p.hashed&(1<<i) == 0 {
				continue
			}
			k := &p.hash[i]
			switch {
			case k.Header != "":
				c.HashOf = append(c.HashOf, "header "+k.Header)
			case k.Query != "":
				c.HashOf = append(c.HashOf, "query "+k.Query)
			case k.Cookie != nil:
				c.HashOf = append(c.HashOf, "cookie "+k.Cookie.Name)
			case k.SourceIP:
				c.HashOf = append(c.HashOf, "source ip")
			}
		}
	}
	c.Session = p.session
}
