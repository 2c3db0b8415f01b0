// Package retry decides whether a try is repeated, and when (Envoy, "x-envoy-retry-on").
//
// In: a policy, and a response or the reason of a reset. Out: yes or no, and a time to wait. Pure and safe for concurrent use.
package retry

import (
	"bytes"
	"strconv"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Policy is what holds for one request: the route's policy and what the request's own headers add.
type Policy struct {
	On      config.RetryOn
	Codes   []int
	Headers []config.HeaderMatch
	Base    time.Duration
	Max     time.Duration
	// Resets are headers that say when to come again, at most ResetMax ahead.
	Resets   []config.ResetHeader
	ResetMax time.Duration
}

const (
	defaultBase = 25 * time.Millisecond
	maxFactor   = 10
)

// Of is the policy of a route.
func Of(r *config.Retry) Policy {
	p := Policy{On: r.On, Codes: r.Codes, Headers: r.Headers, Base: r.BackoffBase, Max: r.BackoffMax, Resets: r.Resets, ResetMax: r.ResetMax}
	if p.Base <= 0 {
		p.Base = defaultBase
	}
	if p.Max <= 0 {
		p.Max = maxFactor * p.Base
	}
	return p
}

// Response says whether a response is one to retry. match compares a header of the response.
func (p *Policy) Response(h *codec.Head, match func(*config.HeaderMatch, *codec.Head) bool) bool {
	if h.Has(codec.EnvoyOverloaded) {
		return false
	}
	if h.Has(codec.EnvoyRateLimited) {
		return p.On&config.RetryEnvoyRateLimited != 0
	}
	switch s := h.Status; {
	case s >= 500 && p.On&config.Retry5xx != 0, s >= 502 && s <= 504 && p.On&config.RetryGatewayError != 0, s == 409 && p.On&config.RetryRetriable4xx != 0:
		return true
	case p.On&config.RetryRetriableStatusCodes != 0:
		for _, c := range p.Codes {
			if c == s {
				return true
			}
		}
	}
	if p.On&config.RetryRetriableHeaders != 0 {
		for i := range p.Headers {
			if match(&p.Headers[i], h) {
				return true
			}
		}
	}
	return p.grpc(h)
}

const allGRPC = config.RetryGRPCCancelled | config.RetryGRPCDeadline | config.RetryGRPCResource | config.RetryGRPCUnavailable | config.RetryGRPCInternal

func (p *Policy) grpc(h *codec.Head) bool {
	if p.On&allGRPC == 0 {
		return false
	}
	v, ok := h.Value(codec.GRPCStatus)
	if !ok {
		return false
	}
	code, err := strconv.Atoi(string(v))
	if err != nil {
		return false
	}
	switch code {
	case 1:
		return p.On&config.RetryGRPCCancelled != 0
	case 4:
		return p.On&config.RetryGRPCDeadline != 0
	case 8:
		return p.On&config.RetryGRPCResource != 0
	case 13:
		return p.On&config.RetryGRPCInternal != 0
	case 14:
		return p.On&config.RetryGRPCUnavailable != 0
	}
	return false
}

// Reset says whether a reset before a response is one to retry. began says that the request was on its way.
func (p *Policy) Reset(r codec.Reason, began bool) bool {
	switch {
	case r == codec.Overflow:
		return false
	case p.On&(config.RetryReset|config.Retry5xx|config.RetryGatewayError) != 0:
		return true
	case p.On&config.RetryResetBeforeRequest != 0 && !began, p.On&config.RetryRefusedStream != 0 && r == codec.RefusedStream:
		return true
	}
	return p.On&config.RetryConnectFailure != 0 && r.ConnectFailed()
}

// Backoff is the time before retry n (from 1): random, below a bound that doubles with each retry (Envoy's jittered exponential back-off).
func (p *Policy) Backoff(n int, random uint64) time.Duration {
	bound := p.Base
	for range n - 1 {
		if bound >= p.Max/2 {
			bound = p.Max
			break
		}
		bound *= 2
	}
	bound = min(bound, p.Max)
	if bound < time.Millisecond {
		bound = time.Millisecond
	}
	return time.Duration(random % uint64(bound))
}

// ResetAfter is the time before a retry that the response itself asks for, by the first header that makes sense: what it says, and up to half of that more, so that
// not everybody comes back at once (Envoy, rate_limited_retry_back_off).
func (p *Policy) ResetAfter(h *codec.Head, now time.Time, random uint64) (time.Duration, bool) {
	for _, r := range p.Resets {
		v, _ := h.Get(r.Name)
		n, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil {
			continue
		}
		if r.Unix {
			n -= now.Unix()
		}
		if n <= 0 || n > int64(p.ResetMax/time.Second) {
			continue
		}
		d := time.Duration(n) * time.Second
		return d + time.Duration(random%uint64(d/2)), true
	}
	return 0, false
}

var words = map[string]config.RetryOn{
	"5xx": config.Retry5xx, "gateway-error": config.RetryGatewayError, "reset": config.RetryReset, "reset-before-request": config.RetryResetBeforeRequest,
	"connect-failure": config.RetryConnectFailure, "envoy-ratelimited": config.RetryEnvoyRateLimited, "retriable-4xx": config.RetryRetriable4xx,
	"refused-stream": config.RetryRefusedStream, "retriable-status-codes": config.RetryRetriableStatusCodes, "retriable-headers": config.RetryRetriableHeaders,
	"cancelled": config.RetryGRPCCancelled, "deadline-exceeded": config.RetryGRPCDeadline, "resource-exhausted": config.RetryGRPCResource,
	"unavailable": config.RetryGRPCUnavailable, "internal": config.RetryGRPCInternal,
}

// Parse reads a list of words (x-envoy-retry-on); unknown words mean nothing, as in Envoy.
func Parse(list []byte) (on config.RetryOn) {
	for len(list) > 0 {
		var word []byte
		word, list, _ = bytes.Cut(list, []byte(","))
		on |= words[string(bytes.TrimSpace(word))]
	}
	return on
}
