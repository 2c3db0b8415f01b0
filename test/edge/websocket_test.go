package edge

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/heddle-mesh/heddle/test/pair"
)

// TestWebSocket: upgrades that an upstream takes, refuses, and is never asked for.
func TestWebSocket(t *testing.T) {
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" || r.Header.Get("Upgrade") == "" {
			w.Header().Set("X-Asked", r.Header.Get("Upgrade")+" "+r.Header.Get("Connection"))
			w.WriteHeader(http.StatusTeapot)
			return
		}
		c, b, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprintf(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n", r.Header.Get("Upgrade"))
		_ = b.Flush()
		line, _ := b.ReadString('\n')
		fmt.Fprintf(b, "you said %s", line)
		_ = b.Flush()
	})
	const key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	const ask = " HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + key
	for name, f := range map[string]file{
		"on": {manager: "upgrade_configs: [{upgrade_type: websocket}]"}, "off": {}, "off here": {manager: "upgrade_configs: [{upgrade_type: websocket, enabled: false}]"},
		"by route":  {routes: `[{match: {prefix: /}, route: {cluster: app, upgrade_configs: [{upgrade_type: websocket}]}}]`},
		"not there": {manager: "upgrade_configs: [{upgrade_type: websocket}]", routes: `[{match: {prefix: /}, route: {cluster: app, upgrade_configs: [{upgrade_type: websocket, enabled: false}]}}]`},
	} {
		t.Run(name, func(t *testing.T) {
			agree(t, f, app, func(t *testing.T, p *pair.Proxy, note func(name, answer string)) {
				for name, text := range map[string]string{
					"taken":      "GET /" + ask + "hello\n",
					"case":       "GET / HTTP/1.1\r\nHost: a.test\r\nconnection: keep-alive, UPGRADE\r\nupgrade: WebSocket\r\n" + key + "hello\n",
					"refused":    strings.Replace("GET /refuse"+ask, "Connection: Upgrade", "Connection: Upgrade, close", 1),
					"other":      "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, close\r\nUpgrade: other\r\n\r\n",
					"h2c":        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
					"no upgrade": "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
				} {
					note(name, plain(say(t, p, text)))
				}
			})
		})
	}
}

// TestWebSocketOverFrames: an upgrade by extended CONNECT (RFC 8441) in HTTP/2, for an upstream of HTTP/1.1.
func TestWebSocketOverFrames(t *testing.T) {
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		c, b, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprintf(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Method: %s %s\r\n\r\n", r.Method, r.Header.Get("Upgrade"))
		_ = b.Flush()
		line, _ := b.ReadString('\n')
		fmt.Fprintf(b, "you said %s", line)
		_ = b.Flush()
	})
	for name, manager := range map[string]string{
		"on": "upgrade_configs: [{upgrade_type: websocket}]\nhttp2_protocol_options: {allow_connect: true}", "no upgrades": "http2_protocol_options: {allow_connect: true}",
	} {
		t.Run(name, func(t *testing.T) {
			agree(t, file{manager: manager}, app, func(t *testing.T, p *pair.Proxy, note func(name, answer string)) {
				for _, path := range []string{"/", "/refuse"} {
					note(path, framed(t, p, path))
				}
			})
		})
	}
}

// framed asks for a WebSocket in HTTP/2, says something in it, and tells what it hears until the stream, or the connection, ends.
func framed(t *testing.T, p *pair.Proxy, path string) string {
	c := dial(t, p)
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, err := io.WriteString(c, http2.ClientPreface)
	must(t, err)
	f := http2.NewFramer(c, c)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	must(t, f.WriteSettings())
	var head bytes.Buffer
	e := hpack.NewEncoder(&head)
	for _, x := range [][2]string{{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":authority", "a.test"}, {":path", path}, {"sec-websocket-version", "13"}} {
		must(t, e.WriteField(hpack.HeaderField{Name: x[0], Value: x[1]}))
	}
	must(t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true}))
	must(t, f.WriteData(1, false, []byte("hello\n")))
	var heard strings.Builder
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return heard.String() + " gone"
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				v, _ := frame.Value(http2.SettingEnableConnectProtocol)
				fmt.Fprintf(&heard, "connect %d ", v)
			}
		case *http2.MetaHeadersFrame:
			fmt.Fprintf(&heard, "status %s ", frame.PseudoValue("status"))
			for _, h := range frame.RegularFields() {
				if h.Name == "x-method" {
					fmt.Fprintf(&heard, "%s: %s ", h.Name, h.Value)
				}
			}
		case *http2.DataFrame:
			heard.Write(frame.Data())
		case *http2.RSTStreamFrame: // so Envoy ends a tunnel whose server is done; heddle-proxy ends it in order
			return heard.String() + " end"
		}
		if frame.Header().StreamID == 1 && frame.Header().Flags.Has(http2.FlagDataEndStream) {
			return heard.String() + " end"
		}
	}
}
