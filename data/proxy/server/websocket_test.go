package server

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/net/websocket"
)

// A server of WebSockets behind one proxy, or behind two that speak HTTP/2 with each other.
func webSocketsBehind(t *testing.T, proxies int) string {
	t.Helper()
	app := httptest.NewServer(websocket.Handler(func(c *websocket.Conn) { _, _ = io.Copy(c, c) }))
	t.Cleanup(app.Close)
	at := app.Listener.Addr().String()
	for i := range proxies {
		up := cluster(at)
		if i > 0 {
			up = strings.TrimSuffix(up, "}") + `, "http2_protocol_options": {"allow_connect": true}}`
		}
		at = free(t)
		front := strings.Replace(listener("front", at, ""), `"stat_prefix": "t",`, `"stat_prefix": "t", "upgrade_configs": [{"upgrade_type": "websocket"}], "http2_protocol_options": {"allow_connect": true},`, 1)
		start(t, bootstrap(front, up)).ready(t)
	}
	return at
}

func TestWebSocketOverHTTP1(t *testing.T) {
	for _, proxies := range []int{1, 2} {
		at := webSocketsBehind(t, proxies)
		c, err := websocket.Dial("ws://"+at+"/chat", "", "http://"+at+"/")
		if err != nil {
			t.Fatalf("%d proxies: %v", proxies, err)
		}
		for _, size := range []int{1, 1000, 200_000} {
			sent := bytes.Repeat([]byte("w"), size)
			go func() { _, _ = c.Write(sent) }()
			got := make([]byte, size)
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d proxies: %d bytes did not come back, %v", proxies, size, err)
			}
		}
		_ = c.Close()
	}
}

// TestWebSocketOverHTTP2: a client that asks by extended CONNECT (RFC 8441), without a key, for a server that speaks HTTP/1.1 and wants one.
func TestWebSocketOverHTTP2(t *testing.T) {
	for _, proxies := range []int{1, 2} {
		at := webSocketsBehind(t, proxies)
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(c, http2.ClientPreface)
		f := http2.NewFramer(c, c)
		f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		must(t, f.WriteSettings())
		var head bytes.Buffer
		e := hpack.NewEncoder(&head)
		for _, x := range [][2]string{{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":authority", at}, {":path", "/chat"}, {"origin", "http://" + at}, {"sec-websocket-version", "13"}} {
			must(t, e.WriteField(hpack.HeaderField{Name: x[0], Value: x[1]}))
		}
		must(t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true}))
		masked := append([]byte{0x81, 0x82, 0, 0, 0, 0}, "hi"...) // RFC 6455 section 5.2: text, final, masked with zeros
		var got []byte
		for len(got) < 4 {
			frame, err := f.ReadFrame()
			if err != nil {
				t.Fatalf("%d proxies: %v", proxies, err)
			}
			switch x := frame.(type) {
			case *http2.SettingsFrame:
				if v, ok := x.Value(http2.SettingEnableConnectProtocol); !x.IsAck() && (!ok || v != 1) {
					t.Errorf("extended CONNECT is not offered: %v", x)
				}
			case *http2.MetaHeadersFrame:
				if x.PseudoValue("status") != "200" || strings.Contains(fmt.Sprint(x.Fields), "sec-websocket-accept") {
					t.Fatalf("%d proxies: %v", proxies, x.Fields)
				}
				must(t, f.WriteData(1, false, masked))
			case *http2.DataFrame:
				got = append(got, x.Data()...)
			case *http2.RSTStreamFrame, *http2.GoAwayFrame:
				t.Fatalf("%d proxies: %v", proxies, x)
			}
		}
		if string(got) != "\x81\x02hi" {
			t.Errorf("%d proxies: %q came back", proxies, got)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
