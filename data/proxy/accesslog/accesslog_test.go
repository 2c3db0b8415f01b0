package accesslog

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"time"
	"unicode/utf8"
)

type headers map[string]string

func (h headers) Get(name string) ([]byte, bool) { v, ok := h[name]; return []byte(v), ok }

func addr(s string) Address { return Address{AddrPort: netip.MustParseAddrPort(s)} }

func sample() *Record {
	return &Record{
		Start: time.Date(2026, 1, 2, 3, 4, 5, 67e6, time.UTC), Protocol: "HTTP/1.1", Code: 200, Details: "via_upstream", Received: 5, Sent: 1024, Duration: 12 * time.Millisecond,
		Request:  headers{":method": "GET", ":path": "/a?b=c", "user-agent": "curl", ":authority": "reviews", "x-forwarded-for": "10.1.1.1"},
		Response: headers{"x-envoy-upstream-service-time": "11"}, UpstreamHost: addr("10.0.0.1:8080"), UpstreamRemote: addr("10.0.0.1:8080"), UpstreamLocal: addr("10.0.0.9:4444"), Cluster: "outbound|80||reviews",
		Local: addr("10.9.0.1:80"), Remote: addr("[fd00::1]:5555"), RouteName: "default", RequestDuration: -1, ResponseDuration: 11 * time.Millisecond,
	}
}

func TestIstiosDefaultText(t *testing.T) {
	f, err := Text(DefaultText, false)
	if err != nil {
		t.Fatal(err)
	}
	want := `[2026-01-02T03:04:05.067Z] "GET /a?b=c HTTP/1.1" 200 - via_upstream - "-" 5 1024 12 11 "10.1.1.1" "curl" "-" "reviews" "10.0.0.1:8080" ` +
		"outbound|80||reviews 10.0.0.9:4444 10.9.0.1:80 [fd00::1]:5555 - default\n"
	if got := string(f.Append(nil, sample())); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestOperators(t *testing.T) {
	for format, want := range map[string]string{
		"%%":                                        "%",
		"%REQ(:PATH):3%":                            "/a?",
		"%REQ_WITHOUT_QUERY(:PATH)%":                "/a",
		"%REQ(NOPE?USER-AGENT)%":                    "curl",
		"%START_TIME(%Y/%m/%d %H:%M:%S.%3f)%":       "2026/01/02 03:04:05.067",
		"%DOWNSTREAM_REMOTE_PORT%":                  "5555",
		"%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%":    "10.0.0.1",
		"%REQUEST_DURATION% %RESPONSE_TX_DURATION%": "- 1",
		"%TRAILER(GRPC-STATUS)%":                    "-",
		"%TRACE_ID% %GRPC_STATUS% %GRPC_STATUS_NUMBER% %RESPONSE_FLAGS_LONG%": "- - - -",
	} {
		f, err := Text(format, false)
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		if got := string(f.Append(nil, sample())); got != want {
			t.Errorf("%s: %q, want %q", format, got, want)
		}
	}
}

// TestOperatorsOfGRPCAndTraces: a short trace id has 16 digits, and a status without a name is a number.
func TestOperatorsOfGRPCAndTraces(t *testing.T) {
	f, err := Text("%TRACE_ID% %GRPC_STATUS% %GRPC_STATUS(CAMEL_STRING)% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS(NUMBER)% %RESPONSE_FLAGS_LONG%", false)
	if err != nil {
		t.Fatal(err)
	}
	r := sample()
	for want, set := range map[string]func(){
		"00000000000000ab Canceled Canceled CANCELLED 1 -":                                                                    func() { r.TraceHigh, r.TraceLow, r.GRPC, r.Flags = 0, 0xab, 2, "" },
		"00000000000000010000000000000000 77 77 77 77 UpstreamRetryLimitExceeded,UpstreamConnectionFailure,NoHealthyUpstream": func() { r.TraceHigh, r.TraceLow, r.GRPC, r.Flags = 1, 0, 78, "URX,UF,UH" },
	} {
		set()
		if got := string(f.Append(nil, r)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestEveryFlagHasALongName goes through the flags that there are.
func TestEveryFlagHasALongName(t *testing.T) {
	for f := codec.NoFlag + 1; f <= codec.FlagDownstreamRemoteReset; f++ {
		if longNames[f.String()] == "" {
			t.Errorf("%s has no long name", f)
		}
	}
}

func TestFormatsThatAreRefused(t *testing.T) {
	for format, want := range map[string]string{
		"%NOPE%": "NOPE is not supported", "%GRPC_STATUS(X)%": "CAMEL_STRING", "%REQ(x": "not closed", "%REQ()%": "header name is missing", "%REQ(X):a%": "not a length", "%START_TIME(%Q)%": "%Q", "%PROTOCOL(x)%": "takes no argument", "50%": "not closed",
	} {
		if _, err := Text(format, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", format, err, want)
		}
	}
}

func TestJSONKeepsTypesAndOrder(t *testing.T) {
	format := map[string]any{"code": "%RESPONSE_CODE%", "both": "%PROTOCOL% %REQ(NOPE)%", "none": "%REQ(NOPE)%", "deep": map[string]any{"list": []any{"%DURATION%", true, 1.5}}, "a\"key": "x\"y\n"}
	for omit, want := range map[bool]string{
		false: `{"a\"key":"x\"y\u000a","both":"HTTP/1.1 -","code":200,"deep":{"list":[12,true,1.5]},"none":null}`,
		true:  `{"a\"key":"x\"y\u000a","both":"HTTP/1.1 ","code":200,"deep":{"list":[12,true,1.5]}}`,
	} {
		f, err := JSON(format, omit)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(f.Append(nil, sample())); got != want+"\n" {
			t.Errorf("omit %v: %s, want %s", omit, got, want)
		}
	}
}

func TestNothingForgesALine(t *testing.T) {
	r := sample()
	r.ServerName = "a\" 200\n[fake\x1b[0m\u0085\u2028"
	f, err := Text(DefaultText, false)
	if err != nil {
		t.Fatal(err)
	}
	line := string(f.Append(nil, r))
	if strings.Count(line, "\n") != 1 || !strings.Contains(line, `a\" 200\x0a[fake\x1b[0m`) || strings.ContainsAny(line, "\u0085\u2028") {
		t.Errorf("%q", line)
	}
}

func FuzzLine(f *testing.F) {
	text, _ := Text("%REQ(X)%|%REQUESTED_SERVER_NAME:9%\n", false)
	asJSON, _ := JSON(map[string]any{"x": "%REQ(X)%", "y": "<%REQ(X):7%>", "z": "%REQUESTED_SERVER_NAME:3%"}, false)
	f.Add("plain")
	f.Add("a\"\\\n\xff\xc3\x28")
	f.Fuzz(func(t *testing.T, s string) {
		r := &Record{Request: headers{"x": s}, ServerName: s}
		line := text.Append(nil, r)
		for i, c := range line {
			if c < ' ' && i != len(line)-1 || c == 0x7f {
				t.Fatalf("%q holds a control character", line)
			}
		}
		line = asJSON.Append(nil, r)
		var v map[string]any
		if err := json.Unmarshal(line, &v); err != nil || !utf8.Valid(line) {
			t.Fatalf("%q gave %s: %v", s, line, err)
		}
	})
}

func FuzzFormat(f *testing.F) {
	f.Add(DefaultText)
	f.Add("%REQ(a?b):3% %START_TIME(%Y.%9f)%")
	f.Fuzz(func(_ *testing.T, s string) {
		if format, err := Text(s, false); err == nil {
			format.Append(nil, sample())
		}
	})
}

func TestFilesAreWrittenAndCounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	files := &Files{Workers: 2, Log: slog.New(slog.DiscardHandler)}
	sink, err := files.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := files.Open(path); again != sink {
		t.Error("a path was opened twice")
	}
	format, _ := Text("%RESPONSE_CODE%\n", false)
	log := &Log{Sink: sink, Format: format, Keep: func(r *Record) bool { return r.Code != 200 }}
	for i := range 100 {
		log.Write(i%2, &Record{Code: 200 + i%3})
	}
	files.Close()
	b, err := os.ReadFile(path)
	if err != nil || strings.Count(string(b), "\n") != 66 || strings.Contains(string(b), "200") {
		t.Errorf("%d lines, %v", strings.Count(string(b), "\n"), err)
	}
	if _, err := (&Files{Log: slog.New(slog.DiscardHandler)}).Open("/nowhere/x"); err == nil || !strings.Contains(err.Error(), "/nowhere/x") {
		t.Errorf("error %v", err)
	}
}

func TestAFullRingDropsAndCounts(t *testing.T) {
	s := newSink(1, nil)
	format, _ := Text(strings.Repeat("x", 1<<16), false)
	for range 20 {
		s.append(0, format, &Record{})
	}
	if s.dropped.Load() != 3 {
		t.Errorf("%d dropped", s.dropped.Load())
	}
}
