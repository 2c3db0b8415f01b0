package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const idleConnections = 4000

// runIdle measures what proxies hold for connections that have made a request and keep open: in clear, and by mutual TLS after a small and after a larger response.
func (b *bench) runIdle() error {
	if err := b.certificates(); err != nil {
		return err
	}
	fmt.Printf("\n### Memory with %d idle connections, 1 worker each, %s after a request on each, RSS in MiB (RssAnon)\n", idleConnections, rested)
	out := table("proxy", "none", "clear, 1 KiB", "mTLS, 1 KiB", "mTLS, 16 KiB")
	port := 21930
	for _, name := range []string{"heddle-proxy", "nginx", "haproxy", "envoy"} {
		if b.skips(name) {
			continue
		}
		row := []string{name}
		for i, shape := range []struct {
			secure bool
			path   string
		}{{false, "/"}, {true, "/"}, {true, "/16384"}} {
			port++
			p := b.idleProxy(name, port, shape.secure)
			file := b.path(fmt.Sprintf("idle-%d%s", port, p.ext))
			if err := os.WriteFile(file, []byte(p.config(b)), 0o600); err != nil {
				return err
			}
			pid, err := b.launch(name, p.path, p.args(b, file)...)
			if err != nil {
				return err
			}
			c, err := dialFor(20*time.Second, port)
			if err != nil {
				return fmt.Errorf("%s: %w: %.2000s", name, err, b.said.String())
			}
			c.Close()
			if i == 0 {
				time.Sleep(rested)
				row = append(row, held(pid))
			}
			open, err := b.open(port, shape.secure, shape.path)
			if err == nil {
				time.Sleep(rested)
				row = append(row, held(pid))
			}
			for _, c := range open {
				c.Close()
			}
			if err != nil {
				return fmt.Errorf("%s: %w: %.2000s", name, err, b.said.String())
			}
		}
		out.row(row...)
	}
	out.end()
	return nil
}

func held(pid int) string {
	all, anonymous := 0.0, 0.0
	for _, p := range tree(pid) {
		all += status(p, "VmRSS")
		anonymous += status(p, "RssAnon")
	}
	return fmt.Sprintf("%.1f (%.1f)", all, anonymous)
}

// idleProxy is a proxy on a port, which asks for certificates if it should.
func (b *bench) idleProxy(name string, port int, secure bool) proxy {
	p := proxy{name: name, port: port, ext: fmt.Sprintf("-idle-%d.conf", port)}
	move := strings.NewReplacer("21802", strconv.Itoa(port), "21803", strconv.Itoa(port), "nginx.pid", fmt.Sprintf("nginx-%d.pid", port))
	switch name {
	case "nginx":
		p.path, p.args = find(name), func(b *bench, file string) []string { return []string{"-p", b.dir, "-c", file} }
		if p.config = func(b *bench) string { return move.Replace(nginxConfig(b)) }; secure {
			p.config = func(b *bench) string { return move.Replace(b.nginxTerminates(port)) }
		}
	case "haproxy":
		p.path, p.args = find(name), func(_ *bench, file string) []string { return []string{"-db", "-f", file} }
		if p.config = func(b *bench) string { return move.Replace(haproxyConfig(b)) }; secure {
			p.config = func(b *bench) string { return b.haproxyTerminates(port) }
		}
	default:
		if p.path, p.args = heddlePath, heddleArgs; name == "envoy" {
			p.path, p.args = envoyPath, envoyArgs
		}
		p.ext = ".yaml"
		if p.config = func(*bench) string { return envoyConfig(port, port+50) }; secure {
			p.config = func(b *bench) string { return b.terminates(envoyConfig(port, port+50)) }
		}
	}
	return p
}

// open makes the connections and one request on each.
func (b *bench) open(port int, secure bool, path string) (open []net.Conn, err error) {
	var settings *tls.Config
	if secure {
		pair, err := tls.LoadX509KeyPair(b.path("cert.pem"), b.path("key.pem"))
		if err != nil {
			return nil, err
		}
		// The certificates are the run's own, and what is measured is memory: the server's name is not checked.
		settings = &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}
	}
	for range idleConnections {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return open, err
		}
		if secure {
			c = tls.Client(c, settings)
		}
		open = append(open, c)
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return open, err
		}
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path); err != nil {
			return open, err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return open, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			return open, fmt.Errorf("status %d, %w", resp.StatusCode, err)
		}
	}
	return open, nil
}
