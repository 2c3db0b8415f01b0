package graph

import (
	"fmt"
	"strings"
)

// State is how a node or an edge fares.
type State string

// The states, from the worst to the best, and then those without an opinion.
const (
	Failing  State = "failing"
	Degraded State = "degraded"
	Healthy  State = "healthy"
	Idle     State = "idle"    // known, and without traffic in the window
	Unknown  State = "unknown" // nothing that could be judged
)

// Health is a state and one sentence why.
type Health struct {
	State  State  `json:"state"`
	Reason string `json:"reason"`
}

// threshold is one of Kiali's defaults: from which share of requests on something is degraded and failing. A degraded of 0 is "any".
type threshold struct {
	what              string
	degraded, failing float64
	share             func(*Traffic) float64
}

var thresholds = []threshold{
	{"were answered with 5xx", 0, .10, func(t *Traffic) float64 { return share(t, t.Codes, func(c string) bool { return c[0] == '5' }) }},
	{"got no response", 0, .10, func(t *Traffic) float64 { return share(t, t.Codes, func(c string) bool { return c == noResponse }) }},
	{"ended with a gRPC error", 0, .10, func(t *Traffic) float64 { return share(t, t.GRPC, func(c string) bool { return c != "0" }) }},
	{"were answered with 4xx", .10, .20, func(t *Traffic) float64 { return t.ClientErrors }},
}

// noResponse is the code of requests that got none.
const noResponse = "-"

func share(t *Traffic, by Rates, counts func(string) bool) float64 {
	if t.Rate == 0 {
		return 0
	}
	n := 0.0
	for _, k := range by.keys() {
		if counts(k) {
			n += by[k]
		}
	}
	return n / t.Rate
}

// judge finds the worst threshold that is crossed. who is the beginning of the sentence, such as "Of its requests".
func judge(t *Traffic, who string) Health {
	worst := Health{Healthy, ""}
	for _, th := range thresholds {
		s := th.share(t)
		state := Healthy
		switch {
		case s <= 0:
		case s >= th.failing:
			state = Failing
		case s >= th.degraded:
			state = Degraded
		}
		if state == Failing && worst.State != Failing || state == Degraded && worst.State == Healthy {
			limit := fmt.Sprintf("failing from %s on", percent(th.failing))
			if state == Degraded && th.degraded > 0 {
				limit = fmt.Sprintf("degraded from %s on, %s", percent(th.degraded), limit)
			}
			worst = Health{state, fmt.Sprintf("%s %s %s (%s)%s.", who, percent(s), th.what, limit, flagged(t))}
		}
	}
	switch {
	case worst.State != Healthy:
		return worst
	case t.Rate > 0:
		return Health{Healthy, fmt.Sprintf("%s %s went wrong.", who, percent(t.ErrorRate+t.ClientErrors))}
	case t.Connections > 0 || t.Request > 0 || t.Response > 0:
		return Health{Healthy, "TCP flows; whether it carries errors cannot be seen."}
	}
	return Health{Idle, "No traffic in this window."}
}

// flagged names the most frequent response flag.
func flagged(t *Traffic) string {
	best, most := "", 0.0
	for _, f := range t.Flags.keys() {
		if t.Flags[f] > most {
			best, most = f, t.Flags[f]
		}
	}
	if best == "" {
		return ""
	}
	return ", most often with the response flag " + best
}

func percent(x float64) string {
	text := "none"
	switch x *= 100; {
	case x <= 0:
	case x < 0.1:
		text = "less than 0.1 %"
	default:
		text = strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0") + " %"
	}
	return text
}

func (n *Node) judge() {
	switch {
	case n.In.moves():
		n.Health = judge(&n.In, "Of its requests")
	case n.Kind == KindUnknown:
		n.Health = Health{Unknown, "These callers have no proxy that tells who they are."}
	default: // only what it asks of others is known
		n.Health = judge(&n.Out, "Of what it asked others")
	}
}

func (t *Traffic) moves() bool {
	return t.Rate > 0 || t.Connections > 0 || t.Request > 0 || t.Response > 0
}
