package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

const (
	framesBackend = 21820
	framesPort    = 21821
)

// framesProxies are those that speak HTTP/2 in clear on both sides; nginx does towards clients only.
func (b *bench) framesProxies() []proxy {
	both := func(port, admin int, features func(string) string) func(*bench) string {
		return func(*bench) string {
			c := strings.Replace(features(envoyConfig(port, admin)), "stat_prefix: in", "stat_prefix: in\n          codec_type: HTTP2", 1)
			c = strings.Replace(c, "connect_timeout: 5s", "connect_timeout: 5s\n    http2_protocol_options: {}", 1)
			return strings.ReplaceAll(c, strconv.Itoa(backendPort), strconv.Itoa(framesBackend))
		}
	}
	return []proxy{
		{name: "heddle-proxy", path: heddlePath, ext: "-h2.yaml", port: framesPort, config: both(framesPort, framesPort+10, strings.Clone), args: heddleArgs},
		{name: "heddle-proxy+mesh", path: heddlePath, ext: "-h2.yaml", port: framesPort + 4, config: both(framesPort+4, framesPort+14, meshFeatures), args: heddleArgs},
		{name: "haproxy", path: find("haproxy"), ext: "-h2.cfg", port: framesPort + 1, config: haproxyFrames,
			args: func(_ *bench, file string) []string { return []string{"-db", "-f", file} }},
		{name: "nghttpx", path: find("nghttpx"), ext: "-h2.conf", port: framesPort + 2, config: func(*bench) string { return "" },
			args: func(_ *bench, file string) []string {
				return []string{"--conf=" + file, fmt.Sprintf("--frontend=127.0.0.1,%d;no-tls", framesPort+2), fmt.Sprintf("--backend=127.0.0.1,%d;;proto=h2", framesBackend), "--workers=1", "--log-level=FATAL", "--accesslog-file="}
			}},
		{name: "envoy", path: envoyPath, ext: "-h2.yaml", port: framesPort + 3, config: both(framesPort+3, framesPort+13, strings.Clone), args: envoyArgs},
		{name: "envoy+mesh", path: envoyPath, ext: "-h2.yaml", port: framesPort + 5, config: both(framesPort+5, framesPort+15, meshFeatures), args: envoyArgs},
	}
}

func haproxyFrames(b *bench) string {
	c := strings.Replace(haproxyConfig(b), "bind 127.0.0.1:21803", fmt.Sprintf("bind 127.0.0.1:%d proto h2", framesPort+1), 1)
	return strings.Replace(c, fmt.Sprintf("127.0.0.1:%d", backendPort), fmt.Sprintf("127.0.0.1:%d proto h2", framesBackend), 1)
}

// runFrames measures HTTP/2 with many streams on few connections, and with one stream on many.
func (b *bench) runFrames() error {
	if err := os.WriteFile(b.path("index.html"), []byte(strings.Repeat("x", 1024)), 0o644); err != nil {
		return err
	}
	b.running = nil
	second := &http.Protocols{}
	second.SetUnencryptedHTTP2(true)
	b.ask.Transport = &http.Transport{Protocols: second}
	if _, err := b.start("nghttpd", framesBackend, find("nghttpd"), "--no-tls", "--trailer=grpc-status: 0", "-d", b.dir, strconv.Itoa(framesBackend)); err != nil {
		return err
	}
	for _, p := range b.framesProxies() {
		if b.skips(p.name) {
			continue
		}
		if err := b.startProxy(p); err != nil {
			return err
		}
	}
	if err := os.WriteFile(b.path("message"), append([]byte{0, 0, 0, 0, 100}, make([]byte, 100)...), 0o600); err != nil {
		return err
	}
	for _, shape := range [][2]int{{4, 32}, {16, 1}} {
		b.title("HTTP/2, 1 KiB body, %d connections × %d streams", shape[0], shape[1])
		if err := b.measureAll(tunnelBases, func(r running) (int, error) { return b.h2load(r, shape[0], shape[1]) }); err != nil {
			return err
		}
		// nghttpd sends grpc-status in trailers, and its answer is no message of gRPC; nobody on the way looks at those.
		b.title("gRPC unary, 100 bytes to 1 KiB, %d connections × %d streams", shape[0], shape[1])
		if err := b.measureAll(tunnelBases, func(r running) (int, error) {
			return b.h2load(r, shape[0], shape[1], "-d", b.path("message"), "-H", "content-type: application/grpc", "-H", "te: trailers")
		}); err != nil {
			return err
		}
	}
	return nil
}

var h2loadDone = regexp.MustCompile(`(\d+) succeeded, (\d+) failed, (\d+) errored`)

// h2load makes requests for one measurement and counts them.
func (b *bench) h2load(r running, connections, streams int, more ...string) (int, error) {
	out, err := exec.Command("h2load", append([]string{"-D", strconv.Itoa(int(b.duration.Seconds())), "-c", strconv.Itoa(connections), "-m", strconv.Itoa(streams),
		fmt.Sprintf("http://127.0.0.1:%d/", r.port)}, more...)...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("h2load: %w: %s", err, out)
	}
	m := h2loadDone.FindSubmatch(out)
	if m == nil || string(m[2]) != "0" {
		return 0, fmt.Errorf("%s: %s", r.name, out)
	}
	return strconv.Atoi(string(m[1]))
}
