package laptop

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func relay(t *testing.T, resolver string) (dial func() net.Conn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{Listener: l, Log: slog.New(slog.DiscardHandler), Resolver: resolver}
	done := make(chan struct{})
	go func() { defer close(done); r.Serve(t.Context()) }()
	t.Cleanup(func() { <-done })
	return func() net.Conn {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
}

// upper answers everything in capitals after the client's half close.
func upper(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(c)
			io.WriteString(c, strings.ToUpper(string(b)))
			c.Close()
		}
	}()
	return l.Addr().String()
}

func TestRelayCarriesBothWaysWithHalfClose(t *testing.T) {
	target := upper(t)
	dial := relay(t, target)
	for _, to := range []string{target, "resolver:53"} {
		c := dial()
		io.WriteString(c, "CONNECT "+to+"\nhello") // the first bytes may come with the line
		c.(*net.UnixConn).CloseWrite()
		b, err := io.ReadAll(c)
		if err != nil || string(b) != "OK\nHELLO" {
			t.Errorf("%s: %q, %v", to, b, err)
		}
	}
}

func TestRelayTellsWhatIsWrong(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	dial := relay(t, "")
	for line, want := range map[string]string{"CONNECT " + closed: "ERR dial tcp " + closed + ": connect: connection refused", "GET / HTTP/1.1": "ERR want CONNECT HOST:PORT"} {
		c := dial()
		io.WriteString(c, line+"\n")
		got, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || strings.TrimSpace(got) != want {
			t.Errorf("%s: %q, %v, want %q", line, got, err, want)
		}
	}
	c := dial()
	io.WriteString(c, strings.Repeat("x", relayLine+1))
	if b, _ := io.ReadAll(c); len(b) != 0 {
		t.Errorf("an endless line was answered with %q", b)
	}
}
