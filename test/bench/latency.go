package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

const latencyConnections = 8

// runLatency measures what proxies add to the time of a request at a part of the load, half of it by default: 8 connections, and a part of what the slowest of those but Envoy can
// do, the same for all.
func (b *bench) runLatency() error {
	rate := 1e9
	b.shape = "throughput, 8 connections"
	for _, r := range b.running {
		one, err := b.measure(r, func(r running) (int, error) { return b.wrk(r, latencyConnections, "/") })
		if err != nil {
			return err
		}
		if r.path != envoyPath {
			rate = min(rate, one.requests*b.part)
		}
	}
	targets := append([]running{{proxy: proxy{name: "(none)", port: backendPort}}}, b.running...)
	all := make([][2][]time.Duration, len(targets))
	for range b.rounds {
		for i, t := range targets {
			p50, p99, err := paced(t.port, rate, b.duration)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			all[i][0], all[i][1] = append(all[i][0], p50), append(all[i][1], p99)
		}
	}
	b.title("Latency at %.0f %% of the load: HTTP/1.1, 1 KiB, %d connections, %.0f requests/s", 100*b.part, latencyConnections, rate)
	out := table("proxy", "p50", "p99", "added at p50", "added at p99")
	var direct [2]time.Duration
	for i, t := range targets {
		var m [2]time.Duration
		for k := range m {
			slices.Sort(all[i][k])
			m[k] = all[i][k][b.rounds/2]
		}
		if i == 0 {
			direct = m
		}
		out.row(t.name, round(m[0]), round(m[1]), round(m[0]-direct[0]), round(m[1]-direct[1]))
	}
	out.end()
	return nil
}

func round(d time.Duration) string { return d.Round(time.Microsecond).String() }

// paced asks at a steady rate, whatever the answers do: a request that waits for the one before it on its connection is timed from when it was due.
func paced(port int, rate float64, length time.Duration) (p50, p99 time.Duration, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var all []time.Duration
	pause := time.Duration(float64(time.Second) * latencyConnections / rate)
	for i := range latencyConnections {
		wg.Go(func() {
			took, failed := pacedOn(port, pause, pause*time.Duration(i)/latencyConnections, length)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			if failed != nil {
				err = failed
			}
		})
	}
	wg.Wait()
	if err != nil || len(all) == 0 {
		return 0, 0, err
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)*99/100], nil
}

func pacedOn(port int, pause, phase, length time.Duration) (took []time.Duration, err error) {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(length + 10*time.Second)); err != nil {
		return nil, err
	}
	in := bufio.NewReader(c)
	from := time.Now().Add(phase)
	for due := from; due.Sub(from) < length; due = due.Add(pause) {
		asked := due
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
			asked = time.Now() // that the timer is late is nobody's fault
		}
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			return took, err
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return took, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			return took, fmt.Errorf("status %d, %w", resp.StatusCode, err)
		}
		took = append(took, time.Since(asked))
	}
	return took, nil
}
