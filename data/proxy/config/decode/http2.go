package decode

import (
	"math"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// leastWindow is the smallest window that a peer may be given: the one that it assumes (RFC 9113 section 6.9.2).
const leastWindow = 1<<16 - 1

// frames reads how HTTP/2 is spoken; the bounds are Envoy's.
func (r *read) frames(path string, m *corev3.Http2ProtocolOptions) (f config.Frames) {
	if m == nil {
		return f
	}
	bounded := func(field string, n *wrapperspb.UInt32Value, least uint32) *uint32 {
		if n == nil {
			return nil
		}
		if v := n.GetValue(); v < least || v > math.MaxInt32 {
			r.add(join(path, field), "want %d to %d", least, math.MaxInt32)
		}
		return &n.Value
	}
	return config.Frames{
		Streams: bounded("max_concurrent_streams", m.GetMaxConcurrentStreams(), 1), StreamWindow: bounded("initial_stream_window_size", m.GetInitialStreamWindowSize(), leastWindow),
		ConnWindow: bounded("initial_connection_window_size", m.GetInitialConnectionWindowSize(), leastWindow), TableSize: bounded("hpack_table_size", m.GetHpackTableSize(), 0),
		Connect: m.GetAllowConnect(), OutputFrames: bounded("max_outbound_frames", m.GetMaxOutboundFrames(), 1),
		ControlFrames:  bounded("max_outbound_control_frames", m.GetMaxOutboundControlFrames(), 1),
		EmptyFrames:    bounded("max_consecutive_inbound_frames_with_empty_payload", m.GetMaxConsecutiveInboundFramesWithEmptyPayload(), 0),
		PriorityFrames: bounded("max_inbound_priority_frames_per_stream", m.GetMaxInboundPriorityFramesPerStream(), 0),
		KeepAlive:      r.keepAlive(join(path, "connection_keepalive"), m.GetConnectionKeepalive()),
		WindowUpdates:  bounded("max_inbound_window_update_frames_per_data_frame_sent", m.GetMaxInboundWindowUpdateFramesPerDataFrameSent(), 1),
	}
}

// defaultJitter is Envoy's, percent.
const defaultJitter = 15

func (r *read) keepAlive(path string, m *corev3.KeepaliveSettings) *config.KeepAlive {
	if m == nil {
		return nil
	}
	k := &config.KeepAlive{Interval: r.atLeastMilli(path+".interval", m.GetInterval()), Timeout: r.atLeastMilli(path+".timeout", m.GetTimeout()), Jitter: defaultJitter,
		Idle: r.atLeastMilli(path+".connection_idle_interval", m.GetConnectionIdleInterval())}
	if m.GetTimeout() == nil {
		r.add(path+".timeout", "it is missing")
	}
	if p := m.GetIntervalJitter(); p != nil {
		if k.Jitter = p.GetValue(); !(k.Jitter >= 0 && k.Jitter <= 100) {
			r.add(path+".interval_jitter", "want 0 to 100")
		}
	}
	return k
}

// atLeastMilli is a duration of a millisecond or more, 0 for none.
func (r *read) atLeastMilli(path string, d *durationpb.Duration) time.Duration {
	v := r.duration(path, d, 0)
	if d != nil && v < time.Millisecond {
		r.add(path, "want 1ms or more")
	}
	return v
}
