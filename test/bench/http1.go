package main

import (
	"fmt"
	"strconv"
)

// httpBases are what others are compared with.
var httpBases = []string{"nginx", "haproxy", "envoy", "envoy+mesh"}

// startProxies starts those of HTTP/1.1 in clear.
func (b *bench) startProxies() error {
	for _, p := range b.proxies() {
		if b.skips(p.name) {
			continue
		}
		if err := b.startProxy(p); err != nil {
			return err
		}
	}
	return nil
}

// runConnections measures small responses with few and with many connections.
func (b *bench) runConnections() error {
	for _, connections := range []int{8, 64, 512, 4000} {
		b.title("HTTP/1.1, 1 KiB body, %d connections", connections)
		if err := b.measureAll(httpBases, func(r running) (int, error) { return b.wrk(r, connections, "/") }); err != nil {
			return err
		}
	}
	return nil
}

// runBodies measures large responses.
func (b *bench) runBodies() error {
	for _, size := range []int{16 << 10, 1 << 20} {
		b.title("HTTP/1.1, %d KiB body, 64 connections", size>>10)
		if err := b.measureAll(httpBases, func(r running) (int, error) { return b.wrk(r, 64, "/"+strconv.Itoa(size)) }); err != nil {
			return err
		}
	}
	return nil
}

// title begins a table.
func (b *bench) title(format string, args ...any) {
	b.shape = fmt.Sprintf(format, args...)
	fmt.Printf("\n### %s, 1 worker each, %s × %d rounds (median)\n", b.shape, b.duration, b.rounds)
}
