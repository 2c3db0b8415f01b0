package trace

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/dial"
	"github.com/heddle-mesh/heddle/data/proxy/loop/sim"
	"github.com/heddle-mesh/heddle/data/proxy/pool"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// head makes a request of lines "name: value".
func request(lines string) *codec.Head {
	h := &codec.Head{}
	h.Reset()
	for line := range strings.Lines(lines) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			h.SetString(codec.MakeName(name), value)
		}
	}
	return h
}

func TestW3C(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for text, want := range map[string]bool{
		good: true, strings.ToUpper(good): true, good[:54] + "0": true, "ff" + good[2:]: false, good + "-x": false, good[:54]: false, "": false, "nonsense": false,
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": false, "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": false,
		"00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01": false, "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": false,
	} {
		h := request("traceparent: " + text)
		h.SetString(traceParent, text)
		c, present, ok := parseW3C(h)
		if !present || ok != want {
			t.Errorf("%q: %v", text, ok)
		}
		if out := (&codec.Head{}); ok {
			out.Reset()
			c.putW3C(out, nil)
			if v, _ := out.Value(traceParent); string(v) != strings.ToLower(text) {
				t.Errorf("%q became %q", text, v)
			}
		}
	}
}

func TestB3(t *testing.T) {
	const trace, span, parent = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312", "0020000000000001"
	multi := "x-b3-traceid: " + trace + "\nx-b3-spanid: " + span
	for in, want := range map[string]struct {
		found, said, sampled bool
		out                  string
	}{
		multi:                       {true, false, false, "x-b3-sampled: 0"},
		multi + "\nx-b3-sampled: 1": {true, true, true, "x-b3-sampled: 1"},
		multi + "\nx-b3-flags: 1":   {true, true, true, "x-b3-sampled: 1"},
		multi + "\nx-b3-parentspanid: " + parent + "\nx-b3-sampled: true": {true, true, true, "x-b3-parentspanid: " + parent},
		"x-b3-sampled: 0":                            {false, true, false, ""},
		"x-b3-traceid: x\nx-b3-spanid: " + span:      {false, false, false, ""},
		"b3: " + trace + "-" + span:                  {true, false, false, "b3: " + trace + "-" + span + "-0"},
		"b3: " + trace[16:] + "-" + span + "-1":      {true, true, true, "b3: " + trace[16:] + "-" + span + "-1"},
		"b3: " + trace + "-" + span + "-d-" + parent: {true, true, true, "b3: " + trace + "-" + span + "-d-" + parent},
		"b3: 0": {false, true, false, ""},
		"b3: d": {false, true, true, ""},
		"b3: -": {false, false, false, ""},
	} {
		c, found, said := parseB3(request(in))
		if found != want.found || said != want.said || c.Sampled != want.sampled {
			t.Errorf("%q: %+v found %t said %t", in, c, found, said)
		}
		if want.out == "" {
			continue
		}
		out := request("")
		c.putB3(out, make([]byte, 0, 128))
		name, value, _ := strings.Cut(want.out, ": ")
		if v, _ := out.Value(codec.MakeName(name)); string(v) != value {
			t.Errorf("%q: %s is %q, want %q", in, name, v, value)
		}
	}
}

// TestDecisions: the request id decides alike on every hop, and carries what was decided.
func TestDecisions(t *testing.T) {
	const id = "00000063-1234-4234-8234-123456789abc" // 99 of ten thousand
	all := Shares{10_000, 10_000, 10_000}
	for _, c := range []struct {
		head   string
		shares Shares
		want   byte
	}{
		{"", all, sampled}, {"", Shares{0, 99, 10_000}, none}, {"", Shares{0, 100, 10_000}, sampled}, {"", Shares{10_000, 10_000, 99}, none},
		{"x-client-trace-id: a", Shares{10_000, 0, 10_000}, byClient}, {"x-client-trace-id: a", Shares{0, 0, 10_000}, none}, {"x-envoy-force-trace: true", Shares{0, 0, 10_000}, forced},
	} {
		h := request("x-request-id: " + id + "\n" + c.head)
		traced := Decide(h, c.shares, 5)
		v, _ := h.Value(codec.RequestID)
		if v[reasonAt] != c.want || traced != (c.want != none) {
			t.Errorf("%+v: %s, traced %t", c, v, traced)
		}
		if again := Decide(h, Shares{0, 0, 10_000}, 5); again != traced {
			t.Errorf("%+v: the next hop decides otherwise", c)
		}
		Forget(h)
		if v, _ := h.Value(codec.RequestID); v[reasonAt] != none {
			t.Errorf("%+v: %s is not forgotten", c, v)
		}
	}
	for _, bad := range []string{"", "x-request-id: 7", "x-request-id: z0000063-1234-4234-8234-123456789abc"} {
		if Decide(request(bad), all, 5) {
			t.Errorf("%q is traced", bad)
		}
	}
}

func span() *Span {
	s := &Span{Context: Context{High: 1, Low: 2, Span: 3, Parent: 4, Sampled: true}, Kind: Server, Name: "a \"name\"", Start: time.Unix(1, 5000), End: time.Unix(2, 0), State: "a=b", Failed: true}
	s.Tag("k", "v\x00\xff\u00e4\\")
	s.TagInt("n", -7)
	return s
}

// TestFormats: what is written is read by the formats' own decoders.
func TestFormats(t *testing.T) {
	s := span()
	var m tracepb.TracesData
	if err := proto.Unmarshal(wrapOTLP(nil, appendOTLP(appendOTLP(nil, s), s), [][2]string{{"service.name", strings.Repeat("x", 300)}}, "v"), &m); err != nil {
		t.Fatal(err)
	}
	spans := m.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()
	if len(spans) != 2 || len(m.ProtoReflect().GetUnknown()) > 0 || len(spans[1].ProtoReflect().GetUnknown()) > 0 {
		t.Fatal(&m)
	}
	if x := spans[1]; x.GetName() != s.Name || x.GetEndTimeUnixNano() != 2e9 || x.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR || x.GetTraceId()[15] != 2 || x.GetAttributes()[1].GetValue().GetStringValue() != "-7" {
		t.Error(x)
	}
	var list []map[string]any
	text := "[" + string(appendZipkin(nil, s, "svc", "10.0.0.1")) + "]"
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if x := list[0]; x["name"] != s.Name || x["duration"] != 999995.0 || x["traceId"] != "00000000000000010000000000000002" || x["tags"].(map[string]any)["k"] != "v\x00\ufffd\u00e4\\" {
		t.Error(x)
	}
}

// TestAQueueIsBounded: what finds no room, and what no cluster takes, is counted and forgotten.
func TestAQueueIsBounded(t *testing.T) {
	world := sim.New(1)
	registry := stats.New()
	set := upstream.NewSet(nil, slog.New(slog.DiscardHandler))
	w := pool.New(world.Worker(), registry.NewShard(), registry, set, &dial.Dialer{})
	e := NewExporter(Options{Provider: &config.TraceProvider{Cluster: "nowhere", MaxHeld: 3}, Pools: []*pool.Worker{w}, Stats: registry})
	for range 5 {
		s := e.Span(0)
		*s = *span()
		e.Finish(0, s)
	}
	if n := e.Waiting(0); n != 3 || w.Shard.Load(e.count.dropped) != 2 {
		t.Errorf("%d wait, %d are dropped", n, w.Shard.Load(e.count.dropped))
	}
	world.Run(time.Second)
	if n := e.Waiting(0); n != 0 || w.Shard.Load(e.count.noCluster) != 3 {
		t.Errorf("%d wait, %d had no cluster", n, w.Shard.Load(e.count.noCluster))
	}
}
