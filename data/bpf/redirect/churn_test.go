package redirect_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/bpf/redirect"
	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/data/node/capturetest"
)

// TestChurn: thousands of connections to as many destinations, each with its bytes, closed one half at a time or reset, while the agent is replaced again and again. Every
// one must reach the proxy with its own destination, and no byte may be lost.
func TestChurn(t *testing.T) {
	w := capturetest.New(t)
	o := redirect.Options{Pin: filepath.Join(bpffs(t), "heddle")}
	h := hooks(t, o)
	t.Cleanup(func() { ok(t, redirect.Remove(o.Pin)) })
	pod := enrol(t, h, w.Client, capture.Spec{})
	var resets atomic.Int64
	capturetest.Serve(t, w.Client, 15001, func(c *net.TCPConn) {
		defer c.Close()
		fmt.Fprintln(c, capturetest.Original(c))
		if _, err := io.Copy(c, c); errors.Is(err, unix.ECONNRESET) {
			resets.Add(1)
		}
	})
	rounds := 300
	if testing.Short() {
		rounds = 60
	}
	const callers = 8
	var all sync.WaitGroup
	var wantResets atomic.Int64
	for n := range callers {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 7))
			for range rounds {
				to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{240, byte(n), byte(r.Uint32()), byte(r.Uint32())}), uint16(1+r.IntN(65000))).String()
				if r.IntN(3) == 0 {
					to = fmt.Sprintf("[2001:db8:%x::%x]:%d", n+1, 1+r.IntN(65535), 1+r.IntN(65000))
				}
				reset := r.IntN(8) == 0
				if reset {
					wantResets.Add(1)
				}
				if err := converse(w, to, r, reset); err != nil {
					t.Errorf("%s: %v", to, err)
				}
			}
		})
	}
	stop, replaced := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { replaced <- n }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			next, err := redirect.Load(o)
			if err == nil {
				err = errors.Join(next.Attach(), next.Enrol(pod), h.Close())
				h = next
			}
			if err != nil {
				t.Error(err)
				return
			}
			n++
		}
	}()
	all.Wait()
	close(stop)
	if n := <-replaced; n == 0 {
		t.Error("the agent was never replaced")
	} else {
		t.Logf("%d connections, %d resets, %d agents", callers*rounds, wantResets.Load(), n)
	}
	defer h.Close()
	if left, err := h.Pending(); err != nil || left != 0 {
		t.Errorf("%d connections are still on their way (%v)", left, err)
	}
}

// converse dials, sends bytes of a random size, and reads the destination that the proxy knows and the bytes back; or resets.
func converse(w *capturetest.World, to string, r *rand.Rand, reset bool) error {
	c, err := capturetest.Dial(w.Client, to)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil { // only so that a lost byte is told
		return err
	}
	in := bufio.NewReader(c)
	if line, err := in.ReadString('\n'); err != nil || line != to+"\n" {
		return fmt.Errorf("the proxy was told %q (%w)", line, err)
	}
	if reset {
		return c.SetLinger(0)
	}
	sent := make([]byte, r.IntN(200_000))
	for i := range sent {
		sent[i] = byte(r.Uint32())
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(sent)
		wrote <- errors.Join(err, c.CloseWrite())
	}()
	got, err := io.ReadAll(in)
	if err = errors.Join(err, <-wrote); err == nil && !bytes.Equal(got, sent) {
		err = fmt.Errorf("%d bytes came back as %d", len(sent), len(got))
	}
	return err
}

// TestAFailedConnectionLeavesNothing: whoever calls the proxy itself, from the same port, is not taken for the one whose call was refused.
func TestAFailedConnectionLeavesNothing(t *testing.T) {
	w := capturetest.New(t)
	h := hooks(t, redirect.Options{})
	enrol(t, h, w.Client, capture.Spec{})
	var from *net.TCPAddr
	dial := func(to string) (string, error) {
		text := ""
		err := w.Client.Do(func() error {
			d := net.Dialer{LocalAddr: from}
			c, err := d.Dial("tcp", to)
			if err != nil {
				return err
			}
			defer c.Close()
			b, err := io.ReadAll(c)
			text = string(b)
			return err
		})
		return text, err
	}
	from = &net.TCPAddr{IP: net.ParseIP("10.78.0.2"), Port: 40001}
	if _, err := dial(somewhere); !errors.Is(err, unix.ECONNREFUSED) {
		t.Fatalf("without a proxy: %v, want a refusal", err)
	}
	capturetest.Proxy(t, w.Client, 15001, "captured for")
	if got, err := dial("127.0.0.1:15001"); err != nil || got == "captured for "+somewhere {
		t.Errorf("a call of the proxy itself: %q, %v", got, err)
	}
}

// TestAFamilyWithoutAddressFailsAsWithoutCapture: a program that tries IPv6 first must learn that there is none.
func TestAFamilyWithoutAddressFailsAsWithoutCapture(t *testing.T) {
	w := capturetest.New(t)
	h := hooks(t, redirect.Options{})
	alone := w.Alone(t)
	capturetest.Proxy(t, alone, 15001, "captured for")
	enrol(t, h, alone, capture.Spec{})
	for _, to := range []string{"10.0.0.1:80", "[2001:db8::1]:80"} {
		answers(t, alone, to, "unreachable")
	}
}

// newCgroup is an empty cgroup that ends with the test.
func newCgroup(t testing.TB) string {
	t.Helper()
	root := must(redirect.CgroupRoot())(t)
	folder := filepath.Join(root, fmt.Sprintf("heddle-test-%d", rand.Uint32()))
	if err := unix.Mkdir(folder, 0o755); err != nil {
		t.Skipf("make a cgroup: %v", err)
	}
	t.Cleanup(func() { unix.Rmdir(folder) })
	return folder
}
