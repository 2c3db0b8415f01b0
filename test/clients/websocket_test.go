package clients

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/test/pair"
)

const tunnels = `{name: http, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: ws,
      upgrade_configs: [{upgrade_type: websocket}], http2_protocol_options: {allow_connect: true},
      route_config: {name: all, virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: CLUSTER}}]}]},
      http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}`

// libraries are two that have nothing in common: each is client and server.
var libraries = map[string][]string{"ws": {"node", "testdata/websocket.js"}, "websockets": {"python3", "testdata/websocket.py"}}

// TestWebSockets: each library asks each through one proxy, through two that speak HTTP/2 with each other, and so by TLS. Text, binary, empty, compressed and fragmented
// messages, pings, a protocol and a reason to close.
func TestWebSockets(t *testing.T) {
	text, err := os.ReadFile("testdata/websocket.yaml")
	must(t, err)
	config := string(text)
	for _, cluster := range []string{"app", "second"} {
		config = strings.ReplaceAll(config, "MANAGER("+cluster+")", strings.ReplaceAll(tunnels, "CLUSTER", cluster))
	}
	cert, key := certificate(t)
	for server, how := range libraries {
		t.Run("server "+server, func(t *testing.T) {
			for _, plane := range pair.Planes {
				t.Run(plane, func(t *testing.T) {
					port := served(t, how)
					p := pair.Start(t, plane, config, map[string]string{"app": port, "cert": cert, "key": key})
					for client, ask := range libraries {
						for name, args := range map[string][]string{
							"one": {"ws://" + p.Address("one") + "/chat"}, "two": {"ws://" + p.Address("two") + "/chat"},
							"two, TLS": {"wss://localhost:" + strings.TrimPrefix(p.Address("tls"), "127.0.0.1:") + "/chat", cert},
						} {
							t.Run("client "+client+", "+name, func(t *testing.T) {
								if out := program(t, ask[0], append([]string{ask[1], "ask"}, args...)...); out != "ok\n" {
									t.Error(out)
								}
							})
						}
					}
				})
			}
		})
	}
}

// served starts a server and gives its port.
func served(t *testing.T, how []string) string {
	t.Helper()
	if _, err := exec.LookPath(how[0]); err != nil {
		t.Skipf("%s is not installed", how[0])
	}
	cmd := exec.Command(how[0], how[1], "serve")
	cmd.Env = environment(t)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		_ = cmd.Wait() // how it ended is in its state
		if cmd.ProcessState.ExitCode() == 77 {
			t.Skipf("%s needs a module that is not installed; bash test/conformance/clients.sh installs it", how[1])
		}
		t.Fatalf("%v serves nothing: %v", how, cmd.ProcessState)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	return lines.Text()
}

// environment lets programs find the modules that test/conformance/clients.sh installs.
func environment(t *testing.T) []string {
	t.Helper()
	cache, err := filepath.Abs("../../.cache")
	must(t, err)
	return append(os.Environ(), "PYTHONPATH="+filepath.Join(cache, "python"), "NODE_PATH="+filepath.Join(cache, "node", "node_modules"), "no_proxy=*")
}
