package netns

import (
	"fmt"
	"net"
	"testing"
)

func TestListening(t *testing.T) {
	port := func(network, address string) uint16 {
		t.Helper()
		l, err := net.Listen(network, address)
		if err != nil {
			t.Skipf("listen on %s %s: %v", network, address, err)
		}
		t.Cleanup(func() { l.Close() })
		return uint16(l.Addr().(*net.TCPAddr).Port)
	}
	for _, c := range []struct{ network, address, want string }{
		{"tcp4", "127.0.0.1:0", "[127.0.0.1]"}, {"tcp4", "127.1.2.3:0", "[127.1.2.3]"}, {"tcp4", "0.0.0.0:0", "[0.0.0.0]"}, {"tcp6", "[::1]:0", "[::1]"},
		{"tcp6", "[::]:0", "[::]"}, {"tcp", "[::]:0", "[0.0.0.0 ::]"},
	} {
		got, err := Listening(port(c.network, c.address))
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%s %s: %v, %v, want %s", c.network, c.address, got, err, c.want)
		}
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l.Close()
	if got, err := Listening(uint16(l.Addr().(*net.TCPAddr).Port)); err != nil || len(got) > 0 {
		t.Errorf("a connection of a port that nobody listens on any more: %v, %v", got, err)
	}
	for _, broken := range []string{"head\n 0: 0100007F:XX 0:0 0A\n", "head\n 0: 0100:0050 0:0 0A\n", "head\n 0: 0100007F0:0050 0:0 0A\n"} {
		if _, err := listening([]byte(broken), 80); err == nil {
			t.Errorf("%q is read", broken)
		}
	}
}
