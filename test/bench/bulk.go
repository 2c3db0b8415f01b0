package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

const sinkPort = 21870

// runTCP measures proxies that know nothing of HTTP: small exchanges, and one connection with as much as goes through it.
func (b *bench) runTCP() error {
	if err := sink(); err != nil {
		return err
	}
	b.running = nil
	for _, p := range tcpProxies(21880, backendPort) {
		if b.skips(p.name) {
			continue
		}
		if err := b.startProxy(p); err != nil {
			return err
		}
	}
	b.title("TCP, 1 KiB exchanges of HTTP/1.1 that the proxy does not look at, 64 connections")
	if err := b.measureAll(tunnelBases, func(r running) (int, error) { return b.wrk(r, 64, "/") }); err != nil {
		return err
	}
	b.running = nil
	for _, p := range tcpProxies(21900, sinkPort) {
		if b.skips(p.name) {
			continue
		}
		file := b.path("bulk-" + p.name + p.ext)
		if err := os.WriteFile(file, []byte(p.config(b)), 0o600); err != nil {
			return err
		}
		pid, err := b.launch(p.name, p.path, p.args(b, file)...)
		if err != nil {
			return err
		}
		b.running = append(b.running, running{proxy: p, pid: pid})
	}
	b.title("TCP, one connection with bulk, each MiB")
	return b.measureAll(tunnelBases, b.bulk)
}

// bulk sends for one measurement and counts mebibytes.
func (b *bench) bulk(r running) (int, error) {
	c, err := dialFor(20*time.Second, r.port)
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %.2000s", r.name, err, b.said.String())
	}
	defer c.Close()
	piece := make([]byte, 1<<20)
	n := 0
	for end := time.Now().Add(b.duration); time.Now().Before(end); n++ {
		if _, err := c.Write(piece); err != nil {
			return 0, fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return n, nil
}

// dialFor connects to a program that may still be starting.
func dialFor(patience time.Duration, port int) (c net.Conn, err error) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// sink takes everything.
func sink() error {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(sinkPort))
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				// A plain loop of reads: io.Copy would splice, or not, by itself.
				for into := make([]byte, 256<<10); ; {
					if _, err := c.Read(into); err != nil {
						return
					}
				}
			}()
		}
	}()
	return nil
}

// tcpProxies forward what they do not look at to a port.
func tcpProxies(base, to int) []proxy {
	return []proxy{
		{name: "heddle-proxy", path: heddlePath, ext: ".yaml", port: base + 1, config: func(*bench) string { return tcpConfig(base+1, base+11, to) },
			args: heddleArgs},
		{name: "haproxy", path: find("haproxy"), ext: ".cfg", port: base + 3, args: func(_ *bench, file string) []string { return []string{"-db", "-f", file} },
			config: func(b *bench) string {
				return strings.NewReplacer("maxconn 9000", "maxconn 1024", "mode http", "mode tcp\n  option splice-auto", "  http-reuse always\n", "", "21803", strconv.Itoa(base+3), strconv.Itoa(backendPort), strconv.Itoa(to)).Replace(haproxyConfig(b))
			}},
		{name: "envoy", path: envoyPath, ext: ".yaml", port: base + 4, config: func(*bench) string { return tcpConfig(base+4, base+14, to) },
			args: envoyArgs},
	}
}

// tcpConfig is envoyConfig with a TCP proxy.
func tcpConfig(port, admin, to int) string {
	head, rest, _ := strings.Cut(envoyConfig(port, admin), "      - name: envoy.filters.network.http_connection_manager\n")
	_, clusters, _ := strings.Cut(rest, "  clusters:\n")
	return head + `      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: in
          cluster: backend
  clusters:
` + strings.ReplaceAll(clusters, strconv.Itoa(backendPort), strconv.Itoa(to))
}
