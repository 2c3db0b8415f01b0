package tally

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	grpcstatsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	servicev3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/heddle-mesh/heddle/data/proxy/report"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/telemetry"
)

const (
	alice = "spiffe://cluster.local/ns/shop/sa/alice"
	bob   = "spiffe://cluster.local/ns/shop/sa/bob"
)

// told sends messages as one stream of Envoy's, and gives the series that come of them, without their labels but some.
func told(t *testing.T, messages ...*servicev3.StreamAccessLogsMessage) string {
	t.Helper()
	registry := stats.New()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	s := New(report.New(report.Own("bob", "shop", "c1", map[string]string{"app": "bob", "version": "v1"}), registry, []*stats.Shard{registry.NewShard()}))
	servicev3.RegisterAccessLogServiceServer(g, s)
	go g.Serve(l)
	defer g.Stop()
	c, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stream, err := servicev3.NewAccessLogServiceClient(c).StreamAccessLogs(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		t.Fatal(err)
	}
	if len(s.open) > 0 {
		t.Errorf("%d streams are remembered that have ended", len(s.open))
	}
	var b bytes.Buffer
	if err := registry.WritePrometheus(&b, func(s *stats.Sample) bool { return s.Kind == stats.KindCounter && strings.HasPrefix(s.Name, "istio_") }); err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, labels, _ := strings.Cut(line, "{")
		labels, value, _ := strings.Cut(labels, "} ")
		var some []string
		for _, key := range []string{"reporter", "source_workload", "source_principal", "destination_workload", "destination_service", "response_code", "grpc_response_status", "response_flags", "connection_security_policy"} {
			if _, v, ok := strings.Cut(labels, key+`="`); ok {
				v, _, _ = strings.Cut(v, `"`)
				some = append(some, v)
			}
		}
		out = append(out, strings.TrimSpace(name+" "+strings.Join(some, " ")+" = "+value))
	}
	return strings.Join(out, "\n")
}

func from(log string) *servicev3.StreamAccessLogsMessage {
	return &servicev3.StreamAccessLogsMessage{Identifier: &servicev3.StreamAccessLogsMessage_Identifier{LogName: log}}
}

func introduction(t *testing.T) string {
	text, err := report.Introduction(report.Own("alice", "shop", "c1", map[string]string{"app": "alice"}))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func requests(list ...*accesslogv3.HTTPAccessLogEntry) *servicev3.StreamAccessLogsMessage {
	return &servicev3.StreamAccessLogsMessage{LogEntries: &servicev3.StreamAccessLogsMessage_HttpLogs{HttpLogs: &servicev3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: list}}}
}

func request(kind accesslogv3.AccessLogType, code uint32, messages [2]uint64, tags map[string]string) *accesslogv3.HTTPAccessLogEntry {
	c := &accesslogv3.AccessLogCommon{StreamId: "one", AccessLogType: kind, CustomTags: tags}
	if messages != [2]uint64{} {
		kept, _ := anypb.New(&grpcstatsv3.FilterObject{RequestMessageCount: messages[0], ResponseMessageCount: messages[1]})
		c.FilterStateObjects = map[string]*anypb.Any{GRPCStats: kept}
	}
	return &accesslogv3.HTTPAccessLogEntry{CommonProperties: c, Response: &accesslogv3.HTTPResponseProperties{ResponseCode: wrapperspb.UInt32(code)}}
}

// What a peer says of itself counts only with a certificate.
func TestRequestsOfPeers(t *testing.T) {
	services := `[{"host":"bob.shop.svc.cluster.local","name":"bob","namespace":"shop"}]`
	proved := map[string]string{telemetry.TagPeer: introduction(t), telemetry.TagDownstreamPeer: alice, telemetry.TagDownstreamLocal: bob, telemetry.TagServices: services, telemetry.TagFlags: "-"}
	claimed := map[string]string{telemetry.TagPeer: introduction(t), telemetry.TagDownstreamPeer: "-", telemetry.TagServices: services, telemetry.TagFlags: "DC"}
	got := told(t, from(telemetry.EntriesInbound), requests(
		request(accesslogv3.AccessLogType_DownstreamEnd, 200, [2]uint64{}, proved), request(accesslogv3.AccessLogType_DownstreamEnd, 200, [2]uint64{}, proved),
		request(accesslogv3.AccessLogType_DownstreamEnd, 0, [2]uint64{}, claimed), request(accesslogv3.AccessLogType_UpstreamEnd, 200, [2]uint64{}, proved),
	))
	want := "istio_requests_total destination alice " + alice + " bob bob.shop.svc.cluster.local 200  - mutual_tls = 2\n" +
		"istio_requests_total destination unknown unknown bob bob.shop.svc.cluster.local 0  DC none = 1"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The messages of a stream are counted while it goes on, each once.
func TestMessagesOfAStream(t *testing.T) {
	tags := map[string]string{telemetry.TagContentType: "application/grpc+proto", telemetry.TagGRPCStatus: "0", telemetry.TagWorkload: "carol;shop;carol;latest;c1", telemetry.TagUpstreamPeer: "-"}
	got := told(t, from(telemetry.EntriesOutbound),
		requests(request(accesslogv3.AccessLogType_DownstreamPeriodic, 200, [2]uint64{1, 5}, tags)), requests(request(accesslogv3.AccessLogType_DownstreamPeriodic, 200, [2]uint64{1, 9}, tags)),
		requests(request(accesslogv3.AccessLogType_DownstreamEnd, 200, [2]uint64{1, 12}, tags)))
	want := "istio_request_messages_total source bob unknown carol unknown unknown = 1\n" +
		"istio_requests_total source bob unknown carol unknown 200 0 - unknown = 1\n" +
		"istio_response_messages_total source bob unknown carol unknown unknown = 12"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A connection is opened once and closed once, and its bytes are counted while it goes on. One that reached nobody is closed alone.
func TestConnections(t *testing.T) {
	entry := func(id string, kind accesslogv3.AccessLogType, connected bool, received, sent uint64, flags string) *accesslogv3.TCPAccessLogEntry {
		c := &accesslogv3.AccessLogCommon{StreamId: id, AccessLogType: kind, CustomTags: map[string]string{telemetry.TagFlags: flags, telemetry.TagWorkload: "carol;shop;carol;latest;c1"}}
		if connected {
			c.UpstreamRemoteAddress = &corev3.Address{}
		}
		return &accesslogv3.TCPAccessLogEntry{CommonProperties: c, ConnectionProperties: &accesslogv3.ConnectionProperties{ReceivedBytes: received, SentBytes: sent}}
	}
	got := told(t, from(telemetry.EntriesOutbound), &servicev3.StreamAccessLogsMessage{LogEntries: &servicev3.StreamAccessLogsMessage_TcpLogs{TcpLogs: &servicev3.StreamAccessLogsMessage_TCPAccessLogEntries{LogEntry: []*accesslogv3.TCPAccessLogEntry{
		entry("a", accesslogv3.AccessLogType_TcpUpstreamConnected, true, 0, 0, "-"), entry("a", accesslogv3.AccessLogType_TcpPeriodic, true, 3, 4, "-"),
		entry("b", accesslogv3.AccessLogType_TcpConnectionEnd, true, 100, 0, "-"),
		entry("a", accesslogv3.AccessLogType_TcpPeriodic, true, 3, 40, "-"), entry("a", accesslogv3.AccessLogType_TcpConnectionEnd, true, 5, 40, "UC"),
		entry("c", accesslogv3.AccessLogType_TcpConnectionEnd, false, 0, 0, "UF,URX"),
	}}}})
	line := func(metric, flags string, n int) string {
		return fmt.Sprintf("istio_tcp_%s_total source bob unknown carol unknown %s unknown = %d\n", metric, flags, n)
	}
	want := line("connections_closed", "-", 1) + line("connections_closed", "UC", 1) + line("connections_closed", "UF,URX", 1) + line("connections_opened", "-", 2)
	var some []string
	for l := range strings.Lines(got + "\n") {
		if !strings.HasSuffix(l, "= 0\n") {
			some = append(some, l)
		}
	}
	if want += line("received_bytes", "-", 105) + line("sent_bytes", "-", 40); strings.Join(some, "") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(some, ""), want)
	}
}

// Logs of other names, which users may send here by a patch, are not counted.
func TestOtherLogs(t *testing.T) {
	if got := told(t, from("mine"), requests(request(accesslogv3.AccessLogType_DownstreamEnd, 200, [2]uint64{}, nil))); got != "" {
		t.Errorf("got\n%s\nwant nothing", got)
	}
}
