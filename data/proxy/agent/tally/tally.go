// Package tally counts what a stock Envoy tells of its traffic.
//
// In: streams of Envoy's access log service (envoy.service.accesslog.v3), whose entries have the tags that package telemetry names. Out: Istio's standard metrics, made by the reporter of
// heddle-proxy, so that the series of both are the same. Safe for concurrent use.
package tally

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	grpcstatsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	servicev3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/report"
	"github.com/heddle-mesh/heddle/telemetry"
	"github.com/heddle-mesh/heddle/telemetry/attribute"
)

// GRPCStats is the filter that counts messages, and the object in which it keeps the counts.
const GRPCStats = "envoy.filters.http.grpc_stats"

// maxOpen bounds the connections and streams of which it is remembered how much was counted: ten times what a busy Envoy has open.
const maxOpen = 1 << 17

// Service implements envoy.service.accesslog.v3.AccessLogService.
type Service struct {
	servicev3.UnimplementedAccessLogServiceServer

	mu       sync.Mutex
	reporter *report.Reporter
	open     map[string]counted // by Envoy's id of a stream
	services memory[config.ClusterTelemetry]
	peers    memory[report.Workload]
}

// counted is what was counted of a connection, or of the messages of a stream, that goes on.
type counted struct {
	received, sent uint64 // bytes, or messages
	opened         bool
}

// New makes a service that counts with worker 0 of the reporter, which nobody else may use.
func New(r *report.Reporter) *Service {
	return &Service{reporter: r, open: map[string]counted{}}
}

// StreamAccessLogs takes entries until Envoy ends the stream.
func (s *Service) StreamAccessLogs(stream servicev3.AccessLogService_StreamAccessLogsServer) error {
	var l log
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&servicev3.StreamAccessLogsResponse{})
		}
		if err != nil {
			return err
		}
		if id := m.GetIdentifier(); id != nil {
			if l, err = parse(id.GetLogName()); err != nil {
				return status.Error(codes.InvalidArgument, err.Error())
			}
		}
		if l.known {
			s.take(m, l)
		}
	}
}

// log is what the name of a log says.
type log struct {
	known     bool
	direction config.Direction
	plan      *telemetry.Plan
	values    []*attribute.Expression // of the plan, in its order; nil for one that cannot be read
}

func parse(name string) (log, error) {
	base, o, err := telemetry.ParseLogName(name)
	l := log{known: base == telemetry.EntriesInbound || base == telemetry.EntriesOutbound, plan: telemetry.NewPlan(o), direction: config.Outbound}
	if base == telemetry.EntriesInbound {
		l.direction = config.Inbound
	}
	if l.plan != nil {
		for _, text := range l.plan.Expressions {
			e, _ := attribute.Parse(text) // whoever wrote it was told
			l.values = append(l.values, e)
		}
	}
	return l, err
}

func (s *Service) take(m *servicev3.StreamAccessLogsMessage, l log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range m.GetHttpLogs().GetLogEntry() {
		s.request(e, l)
	}
	for _, e := range m.GetTcpLogs().GetLogEntry() {
		s.connection(e, l)
	}
}

// request counts a request that has ended, and the messages of a gRPC stream since the last entry of it.
func (s *Service) request(e *accesslogv3.HTTPAccessLogEntry, l log) {
	c := e.GetCommonProperties()
	end := c.GetAccessLogType() == accesslogv3.AccessLogType_DownstreamEnd
	if !end && c.GetAccessLogType() != accesslogv3.AccessLogType_DownstreamPeriodic {
		return
	}
	f := s.facts(c, l)
	f.GRPC = strings.HasPrefix(tag(c, telemetry.TagContentType), "application/grpc")
	s.messages(c, f, end)
	if !end {
		return
	}
	f.Code = int(e.GetResponse().GetResponseCode().GetValue())
	if f.Flags = tag(c, telemetry.TagFlags); f.GRPC {
		f.Status = tag(c, telemetry.TagGRPCStatus)
	}
	ms, err := strconv.ParseUint(tag(c, telemetry.TagMilliseconds), 10, 32)
	duration := time.Duration(ms) * time.Millisecond
	if err != nil {
		duration = c.GetDuration().AsDuration()
	}
	s.reporter.Request(0, &f, duration, c.GetDownstreamWireBytesReceived(), c.GetDownstreamWireBytesSent())
}

func (s *Service) messages(c *accesslogv3.AccessLogCommon, f report.Facts, end bool) {
	kept := c.GetFilterStateObjects()[GRPCStats]
	if kept == nil {
		return
	}
	var n grpcstatsv3.FilterObject
	if kept.UnmarshalTo(&n) != nil {
		return
	}
	if asked, answered := s.more(c.GetStreamId(), n.GetRequestMessageCount(), n.GetResponseMessageCount(), end); asked|answered > 0 {
		f.Messages = true
		s.reporter.Messages(0, &f, asked, answered)
	}
}

// connection counts what a TCP connection has moved since the last entry of it, and that it was opened or closed.
func (s *Service) connection(e *accesslogv3.TCPAccessLogEntry, l log) {
	c := e.GetCommonProperties()
	f := s.facts(c, l)
	f.TCP = true
	id, kind := c.GetStreamId(), c.GetAccessLogType()
	end := kind == accesslogv3.AccessLogType_TcpConnectionEnd
	if c.GetUpstreamRemoteAddress() != nil && !s.open[id].opened && (kind == accesslogv3.AccessLogType_TcpUpstreamConnected || kind == accesslogv3.AccessLogType_TcpPeriodic || end) {
		s.reporter.Opened(0, &f)
		s.remember(id, counted{opened: true})
	}
	if !end && kind != accesslogv3.AccessLogType_TcpPeriodic {
		return
	}
	p := e.GetConnectionProperties()
	if received, sent := s.more(id, p.GetReceivedBytes(), p.GetSentBytes(), end); received|sent > 0 {
		s.reporter.Moved(0, &f, received, sent)
	}
	if end {
		f.Flags = tag(c, telemetry.TagFlags)
		s.reporter.Closed(0, &f)
	}
}

// more is what has come to the counts of a stream since they were told last.
func (s *Service) more(id string, received, sent uint64, end bool) (uint64, uint64) {
	was := s.open[id]
	if end {
		delete(s.open, id)
	} else {
		s.remember(id, counted{received: received, sent: sent, opened: was.opened})
	}
	return received - min(was.received, received), sent - min(was.sent, sent)
}

// remember keeps counts. One that nobody told the end of (an Envoy that was killed) gives way when there are too many.
func (s *Service) remember(id string, c counted) {
	if _, known := s.open[id]; !known && len(s.open) >= maxOpen {
		for other := range s.open {
			delete(s.open, other)
			break
		}
	}
	s.open[id] = c
}

// tag is what Envoy said under a name, "" for nothing.
func tag(c *accesslogv3.AccessLogCommon, name string) string {
	if v := c.GetCustomTags()[name]; v != "-" {
		return v
	}
	return ""
}

// facts are those that do not depend on the kind of traffic.
func (s *Service) facts(c *accesslogv3.AccessLogCommon, l log) report.Facts {
	f := report.Facts{
		Direction: l.direction, Plan: l.plan, Cluster: c.GetUpstreamCluster(), Endpoint: tag(c, telemetry.TagWorkload),
		Service: s.services.of(tag(c, telemetry.TagServices), service),
	}
	peer := tag(c, telemetry.TagUpstreamPeer)
	f.SourceID, f.DestinationID = tag(c, telemetry.TagUpstreamLocal), peer
	if l.direction == config.Inbound {
		peer = tag(c, telemetry.TagDownstreamPeer)
		f.SourceID, f.DestinationID, f.Mutual = peer, tag(c, telemetry.TagDownstreamLocal), peer != ""
	}
	if l.plan != nil {
		values := make([]string, len(l.values))
		for i, e := range l.values {
			if e != nil {
				values[i], _ = e.Text(attributes{c})
			}
		}
		f.Values = report.Values(values)
	}
	if peer != "" { // what nobody has proved is not believed
		f.Peer = s.peers.of(tag(c, telemetry.TagPeer), func(text string) report.Workload { return report.ParsePeer([]byte(text)) })
	}
	return f
}

// attributes are those that an entry has as tags. It implements attribute.Source.
type attributes struct{ *accesslogv3.AccessLogCommon }

// Attribute implements attribute.Source.
func (a attributes) Attribute(n attribute.Name) (any, bool) {
	text := tag(a.AccessLogCommon, telemetry.TagAttribute(n.String()))
	if text == "" {
		return nil, false
	}
	return n.Value(text)
}

// service is the first of a cluster's services.
func service(text string) (out config.ClusterTelemetry) {
	var list []struct{ Host, Name, Namespace string }
	if text == "" || json.Unmarshal([]byte(text), &list) != nil || len(list) == 0 {
		return out
	}
	return config.ClusterTelemetry{Service: list[0].Host, ServiceName: list[0].Name, ServiceNamespace: list[0].Namespace}
}
