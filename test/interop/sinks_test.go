package interop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	alsdatav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	logpb "go.opentelemetry.io/proto/otlp/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// sinks are the receivers of a world, at host d: by gRPC spans and log records of OTLP and Envoy's access logs (port 4317), by HTTP spans of OTLP and of Zipkin (port 9411).
// Each span and entry is a line of the log of d.
type sinks struct {
	alsv3.UnimplementedAccessLogServiceServer
	log *buffer
}

func (s *sinks) say(format string, args ...any) { fmt.Fprintf(s.log, format+"\n", args...) }

// startSinks starts the receivers.
func (w *world) startSinks() {
	s := &sinks{log: &buffer{}}
	w.logs["d"] = s.log
	server := grpc.NewServer()
	alsv3.RegisterAccessLogServiceServer(server, s)
	server.RegisterService(unary("opentelemetry.proto.collector.trace.v1.TraceService", func(_ context.Context, m *tracepb.TracesData) { s.spans(m) }), s)
	server.RegisterService(unary("opentelemetry.proto.collector.logs.v1.LogsService", func(_ context.Context, m *logpb.LogsData) { s.records(m) }), s)
	l := w.hosts["d"].Listen("tcp", "[::]:4317")
	go func() { _ = server.Serve(l) }()
	w.t.Cleanup(server.Stop)
	web := &http.Server{Handler: s}
	wl := w.hosts["d"].Listen("tcp", "[::]:9411")
	go func() { _ = web.Serve(wl) }()
	w.t.Cleanup(func() { web.Close() })
}

// unary is a service of OTLP: its request has the form of M, and its answer is empty.
func unary[M any, P interface {
	*M
	proto.Message
}](name string, take func(context.Context, P)) *grpc.ServiceDesc {
	return &grpc.ServiceDesc{ServiceName: name, HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{MethodName: "Export",
		Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			m := P(new(M))
			if err := decode(m); err != nil {
				return nil, err
			}
			take(ctx, m)
			return P(new(M)), nil
		}}}}
}

func (s *sinks) spans(m *tracepb.TracesData) {
	for _, rs := range m.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, x := range ss.GetSpans() {
				s.say("otlp span %q of %s %s [%s]", x.GetName(), strings.TrimSpace(service(rs.GetResource().GetAttributes())), strings.TrimPrefix(x.GetKind().String(), "SPAN_KIND_"), attributes(x.GetAttributes()))
			}
		}
	}
}

func (s *sinks) records(m *logpb.LogsData) {
	for _, rl := range m.GetResourceLogs() {
		for _, sl := range rl.GetScopeLogs() {
			for _, x := range sl.GetLogRecords() {
				s.say("otlp log %q [%s] of [%s] timed %t", x.GetBody().GetStringValue(), attributes(x.GetAttributes()), attributes(rl.GetResource().GetAttributes()), x.GetTimeUnixNano() > 1e18)
			}
		}
	}
}

// StreamAccessLogs takes Envoy's access logs.
func (s *sinks) StreamAccessLogs(stream alsv3.AccessLogService_StreamAccessLogsServer) error {
	name := ""
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&alsv3.StreamAccessLogsResponse{})
		} else if err != nil {
			return err
		}
		if id := m.GetIdentifier(); id != nil {
			name = id.GetLogName() + " of " + id.GetNode().GetCluster()
		}
		for _, e := range m.GetHttpLogs().GetLogEntry() {
			s.say("als http %s: %s", name, httpEntry(e))
		}
		for _, e := range m.GetTcpLogs().GetLogEntry() {
			c := e.GetCommonProperties()
			s.say("als tcp %s: %s received %d sent %d", name, commonProperties(c), e.GetConnectionProperties().GetReceivedBytes(), e.GetConnectionProperties().GetSentBytes())
		}
	}
}

func httpEntry(e *alsdatav3.HTTPAccessLogEntry) string {
	q, r := e.GetRequest(), e.GetResponse()
	return fmt.Sprintf("%s %s %s %s%s scheme %s code %d details %s agent %s length %d %d headers %v %v %v %s", e.GetProtocolVersion(), q.GetRequestMethod(), q.GetAuthority(), q.GetPath(), "", q.GetScheme(), r.GetResponseCode().GetValue(),
		r.GetResponseCodeDetails(), q.GetUserAgent(), q.GetRequestBodyBytes(), r.GetResponseBodyBytes(), pairs(q.GetRequestHeaders()), pairs(r.GetResponseHeaders()), pairs(r.GetResponseTrailers()), commonProperties(e.GetCommonProperties()))
}

func commonProperties(c *alsdatav3.AccessLogCommon) string {
	flags := "-"
	if f := c.GetResponseFlags(); f != nil && proto.Size(f) > 0 {
		flags = strings.ReplaceAll(fmt.Sprint(f), "  ", " ")
	}
	return fmt.Sprintf("cluster %s route %q host %s:%d flags %s timed %t", c.GetUpstreamCluster(), c.GetRouteName(), c.GetUpstreamRemoteAddress().GetSocketAddress().GetAddress(), c.GetUpstreamRemoteAddress().GetSocketAddress().GetPortValue(),
		flags, c.GetStartTime().GetSeconds() > 1e9 && c.GetTimeToLastDownstreamTxByte() != nil)
}

func pairs(m map[string]string) []string {
	var out []string
	for k, v := range m {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out
}

// ServeHTTP takes spans by HTTP.
func (s *sinks) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	if req.Header.Get("Content-Type") == "application/x-protobuf" {
		var m tracepb.TracesData
		if err := proto.Unmarshal(body, &m); err != nil {
			s.say("broken: %v", err)
		}
		s.say("otlp over HTTP to %s%s key %s", req.Host, req.URL.Path, req.Header.Get("x-key"))
		s.spans(&m)
		return
	}
	var spans []struct {
		TraceID, Name, Kind string
		LocalEndpoint       map[string]any
		Tags                map[string]string
	}
	if err := json.Unmarshal(body, &spans); err != nil {
		s.say("broken: %v %s", err, body)
	}
	for _, x := range spans {
		s.say("zipkin span %q of %v %s at %s%s id of %d [%s]", x.Name, x.LocalEndpoint["serviceName"], x.Kind, req.Host, req.URL.Path, len(x.TraceID), strings.Join(pairs(x.Tags), " "))
	}
	w.WriteHeader(http.StatusAccepted)
}
