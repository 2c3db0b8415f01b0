package stream

import (
	"math"
	"strconv"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// limitDuration arms the timer that ends the stream, from its beginning on: the route's max_stream_duration, or the connection manager's, or what the header
// grpc-timeout asks for as far as the route believes it. A gRPC server is told of the limit, whatever the client said (as Envoy does).
func (x *Exchange) limitDuration(f *config.Forward) {
	limit, limited := x.m.Config.MaxStreamDuration, x.m.Config.MaxStreamDuration > 0
	if f.MaxStreamDuration != nil {
		limit, limited = *f.MaxStreamDuration, *f.MaxStreamDuration > 0
	}
	if f.GRPCHeaderMax != nil {
		if asked, ok := grpcTimeout(&x.Request); ok {
			limit, limited = atMost(asked, *f.GRPCHeaderMax), true
		}
	}
	if !limited {
		x.timers.duration.Stop()
		return
	}
	if x.isGRPC() {
		codec.SetGRPCTimeout(&x.Request, limit)
	}
	x.timers.duration.Set(max(0, limit-x.w.Loop.Now().Sub(x.started)))
}

// tooLong ends a stream that has reached its duration.
func (x *Exchange) tooLong() {
	x.w.Shard.Inc(x.m.stats.MaxDuration)
	x.flags = x.flags.With(codec.FlagUpstreamMaxDuration)
	x.endTry()
	var edit func(*codec.Head)
	if x.isGRPC() {
		edit = deadlineExceeded
	}
	x.reply(x.timeoutCode(), "downstream duration timeout", "max_duration_timeout", edit)
}

func deadlineExceeded(h *codec.Head) { h.SetInt(codec.GRPCStatus, 4) }

// expired says whether the time that the request's header grpc-timeout gives has passed.
func (x *Exchange) expired() bool {
	asked, ok := grpcTimeout(&x.Request)
	return ok && x.w.Loop.Now().Sub(x.started) >= asked
}

// atMost bounds a duration; a bound of 0 is none.
func atMost(d, bound time.Duration) time.Duration {
	if bound > 0 {
		return min(d, bound)
	}
	return d
}

// grpcTimeout reads the header grpc-timeout: at most 8 digits and a unit (gRPC over HTTP/2, "Timeout").
func grpcTimeout(h *codec.Head) (time.Duration, bool) {
	v, ok := h.Value(codec.GRPCTimeout)
	if !ok || len(v) < 2 || len(v) > 9 {
		return 0, false
	}
	unit := map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}[v[len(v)-1]]
	n, err := strconv.ParseUint(string(v[:len(v)-1]), 10, 32)
	if err != nil || unit == 0 {
		return 0, false
	}
	return time.Duration(min(int64(n), int64(math.MaxInt64/unit))) * unit, true
}
