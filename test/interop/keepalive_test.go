package interop_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// keepAliveFile asks clients (FRONT) and servers for signs of life; of the servers DEAF answers no PING, LAZY none either but requests, and GOOD both.
const keepAliveFile = `
static_resources:
  listeners:
  - {name: front, address: {socket_address: {address: 127.0.0.1, port_value: ${FRONT}}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h,
       http2_protocol_options: {connection_keepalive: {interval: 0.02s, timeout: 0.2s}},
       access_log: [{name: text, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: "LOG %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"}}}}],
       http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}],
       route_config: {name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /good}, route: {cluster: good, timeout: 5s}}, {match: {prefix: /deaf}, route: {cluster: deaf, timeout: 5s}}, {match: {prefix: /lazy}, route: {cluster: lazy, timeout: 5s}}]}]}}}]}]}
  clusters:
  - {name: good, type: STATIC, load_assignment: {cluster_name: good, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${GOOD}}}}}]}]},
     typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {connection_keepalive: {interval: 0.02s, timeout: 5s, interval_jitter: {value: 0}}}}}}}
  - {name: deaf, type: STATIC, load_assignment: {cluster_name: deaf, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${DEAF}}}}}]}]},
     typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {connection_keepalive: {interval: 0.02s, timeout: 0.2s}}}}}}
  - {name: lazy, type: STATIC, load_assignment: {cluster_name: lazy, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${LAZY}}}}}]}]},
     typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {connection_keepalive: {timeout: 0.2s, connection_idle_interval: 0.01s}}}}}}
`

// framesPeer is a server of HTTP/2 that answers PINGs, or does not, and the first so many requests of each connection; pings counts what it is asked.
func framesPeer(t *testing.T, answers bool, requests int, pings *atomic.Int64) string {
	return listenBackend(t, func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		_ = f.WriteSettings()
		answered := 0
		for {
			fr, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch fr := fr.(type) {
			case *http2.PingFrame:
				if !fr.IsAck() {
					if pings.Add(1); answers {
						_ = f.WritePing(true, fr.Data)
					}
				}
			case *http2.SettingsFrame:
				if !fr.IsAck() {
					_ = f.WriteSettingsAck()
				}
			case *http2.HeadersFrame:
				if answered < requests {
					answered++
					head := strings.Builder{}
					_ = hpack.NewEncoder(&head).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
					_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: fr.StreamID, BlockFragment: []byte(head.String()), EndHeaders: true, EndStream: true})
				}
			}
		}
	})
}

// silentClient opens a connection, leaves PINGs unanswered, and says how it ended.
func silentClient(at string) string {
	c, err := net.Dial("tcp", at)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	_ = f.WriteSettings()
	asked := 0
	for {
		fr, err := f.ReadFrame()
		switch fr := fr.(type) {
		case *http2.PingFrame:
			asked++
		case *http2.SettingsFrame:
			if !fr.IsAck() {
				_ = f.WriteSettingsAck()
			}
		}
		if err != nil {
			return fmt.Sprintf("asked %d times, then the end: %v", asked, errors.Is(err, io.EOF))
		}
	}
}

// TestKeepAlive: a connection of HTTP/2 whose peer answers no PING is given up, with what is under way on it; one that has rested is asked before it is used; others go on.
func TestKeepAlive(t *testing.T) {
	var good, deaf, lazy atomic.Int64
	given := map[string]string{"GOOD": framesPeer(t, true, 1<<30, &good), "DEAF": framesPeer(t, false, 0, &deaf), "LAZY": framesPeer(t, false, 1, &lazy)}
	onFiles(t, keepAliveFile, given, func(p *filed) (out []string) {
		good.Store(0)
		get := func(path string) {
			resp, err := http.Get("http://" + p.at("FRONT") + path)
			must(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			must(t, err)
			out = append(out, fmt.Sprintf("%s: %s %s", path, resp.Status, body))
		}
		get("/good/1")
		p.until("three PINGs were answered", func() bool { return good.Load() >= 3 })
		get("/good/2")
		get("/deaf")
		get("/lazy/1")
		before := lazy.Load()
		time.Sleep(20 * time.Millisecond) // longer than connection_idle_interval; nothing is measured
		get("/lazy/2")
		out = append(out, fmt.Sprintf("lazy was asked %d times before and %d times after", before, lazy.Load()-before), silentClient(p.at("FRONT")))
		lazy.Store(0)
		out = append(out, p.logged("LOG", 5)...)
		out = append(out, p.stats("keepalive_timeout")...)
		return append(out, p.stats("cluster.good.upstream_cx_total")...)
	})
}
