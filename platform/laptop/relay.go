package laptop

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// Relay dials the outside world for workloads in namespaces that have no way out.
//
// Protocol, over a unix socket: the client sends one line "CONNECT HOST:PORT"; the relay answers "OK" or "ERR reason", and then carries bytes
// both ways. HOST may be "resolver", which is the first name server of the host.
type Relay struct {
	Listener net.Listener
	Log      *slog.Logger
	// Resolver is the address of the host's name server, HOST:PORT.
	Resolver string
}

// Serve runs until the context ends.
func (r *Relay) Serve(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { r.Listener.Close() })
	defer stop()
	for {
		c, err := r.Listener.Accept()
		if err != nil {
			return
		}
		go r.one(ctx, c)
	}
}

const relayLine = 300 // a host name has at most 253 characters

func (r *Relay) one(ctx context.Context, c net.Conn) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	in := bufio.NewReaderSize(c, relayLine)
	line, err := in.ReadSlice('\n')
	if err != nil {
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	target, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "CONNECT ")
	if !ok {
		_, _ = fmt.Fprintf(c, "ERR want CONNECT HOST:PORT\n")
		return
	}
	if target == "resolver:53" {
		target = r.Resolver
	}
	d := net.Dialer{Timeout: 10 * time.Second}
	out, err := d.DialContext(ctx, "tcp", target)
	if err != nil {
		_, _ = fmt.Fprintf(c, "ERR %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		r.Log.Debug("the outside did not answer", "target", target, "error", err)
		return
	}
	defer out.Close()
	if _, err := io.WriteString(c, "OK\n"); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(out, in)
		_ = out.(*net.TCPConn).CloseWrite()
	})
	_, _ = io.Copy(c, out)
	if u, ok := c.(*net.UnixConn); ok {
		_ = u.CloseWrite()
	}
	both.Wait()
}

// hostResolver is the first name server of the host's resolv.conf.
func hostResolver() string {
	b, err := os.ReadFile("/etc/resolv.conf")
	if err == nil {
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) >= 2 && f[0] == "nameserver" {
				return net.JoinHostPort(f[1], "53")
			}
		}
	}
	return "127.0.0.1:53"
}
