// Package retry reads Istio's HTTPRetry, which stands in VirtualServices and in MeshConfig.
//
// In: the message. Out: mesh.Retry, and a word for each mistake with the path of the field below the policy. Pure; safe for concurrent use.
package retry

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/heddle-mesh/heddle/mesh"
)

// words are Envoy's conditions (x-envoy-retry-on and x-envoy-retry-grpc-on).
var words = map[string]bool{
	"5xx": true, "gateway-error": true, "reset": true, "reset-before-request": true, "connect-failure": true, "envoy-ratelimited": true, "retriable-4xx": true,
	"refused-stream": true, "retriable-status-codes": true, "retriable-headers": true, "http3-post-connect-failure": true,
	"cancelled": true, "deadline-exceeded": true, "internal": true, "resource-exhausted": true, "unavailable": true,
}

// Read reads a policy; nil stays nil.
func Read(x *networking.HTTPRetry, invalid func(field, message string)) *mesh.Retry {
	if x == nil {
		return nil
	}
	r := &mesh.Retry{}
	if x.Attempts < 0 {
		invalid("attempts", fmt.Sprintf("%d is negative", x.Attempts))
	} else {
		r.Attempts = uint32(x.Attempts)
	}
	duration := func(d *durationpb.Duration, field string) time.Duration {
		if d == nil {
			return 0
		}
		t := d.AsDuration()
		if t < time.Millisecond {
			invalid(field, fmt.Sprintf("%s is too short: at least 1ms is wanted", t))
		}
		return t
	}
	r.PerTryTimeout, r.BackoffBase = duration(x.PerTryTimeout, "perTryTimeout"), duration(x.Backoff, "backoff")
	if b := x.RetryRemoteLocalities; b != nil {
		r.RemoteLocalities = &b.Value
	}
	if b := x.RetryIgnorePreviousHosts; b != nil {
		r.IgnorePreviousHosts = &b.Value
	}
	var on []string
	for word := range strings.SplitSeq(x.RetryOn, ",") {
		word = strings.TrimSpace(word)
		if word == "" {
			continue
		}
		if code, err := strconv.ParseUint(word, 10, 32); err == nil {
			if code < 100 || code > 599 {
				invalid("retryOn", fmt.Sprintf("%d is not a status code", code))
			}
			r.Codes = append(r.Codes, uint32(code))
			continue
		}
		if !words[word] {
			invalid("retryOn", fmt.Sprintf("%q is neither a retry condition nor a status code", word))
		}
		on = append(on, word)
	}
	r.On = strings.Join(on, ",")
	return r
}
