package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

const clients = 24

// load asks for pages: most clients keep their connections, some open one for each request, and some go away in the middle.
type load struct {
	running           sync.WaitGroup
	done, cut, failed atomic.Int64
	mu                sync.Mutex
	why               string
}

func start(ctx context.Context, gateway string, rate int) *load {
	l := &load{}
	pause := time.Second * clients / time.Duration(rate)
	for i := range clients {
		l.running.Go(func() {
			keep := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: i%4 == 1}}
			for tick := time.NewTicker(pause); ; {
				select {
				case <-ctx.Done():
					tick.Stop()
					keep.CloseIdleConnections()
					return
				case <-tick.C:
				}
				if i%4 == 2 {
					l.abandon(gateway)
				} else {
					l.ask(keep, gateway+[]string{"/", "/cart", "/catalog"}[rand.IntN(3)])
				}
			}
		})
	}
	return l
}

func (l *load) wait() { l.running.Wait() }

// ask makes one request, which must succeed.
func (l *load) ask(c *http.Client, page string) {
	l.done.Add(1)
	resp, err := c.Get(page)
	if err != nil {
		l.fail(err.Error())
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		l.fail(fmt.Sprintf("%d %.200s %v", resp.StatusCode, body, err))
	}
}

// abandon sends a request, or a part of one, and resets the connection.
func (l *load) abandon(gateway string) {
	u, err := url.Parse(gateway)
	if err != nil {
		l.fail(err.Error())
		return
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		l.fail(err.Error())
		return
	}
	request := "GET /catalog HTTP/1.1\r\nHost: " + u.Host + "\r\n\r\n"
	_, _ = io.WriteString(c, request[:1+rand.IntN(len(request)-1)]) // what becomes of it is not our concern
	time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
	_ = c.(*net.TCPConn).SetLinger(rand.IntN(2) - 1)
	_ = c.Close()
	l.cut.Add(1)
}

func (l *load) fail(why string) {
	l.failed.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.why = why
}

func (l *load) example() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}
