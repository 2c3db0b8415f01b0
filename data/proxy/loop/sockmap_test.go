package loop_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// bpf is the system call of that name.
func bpf(cmd uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}

// sockmap makes a map for one socket.
func sockmap(t *testing.T) int {
	t.Helper()
	attr := struct{ kind, key, value, entries, flags uint32 }{unix.BPF_MAP_TYPE_SOCKMAP, 4, 4, 1, 0}
	fd, err := bpf(unix.BPF_MAP_CREATE, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		t.Skipf("no programs may be loaded into the kernel: %v", err)
	}
	if err != nil {
		t.Fatalf("create a sockmap: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// put puts a socket into a map.
func put(t *testing.T, m int, c net.Conn) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		key, value := uint32(0), uint32(fd)
		attr := struct {
			fd                uint32
			_                 uint32
			key, value, flags uint64
		}{fd: uint32(m), key: uint64(uintptr(unsafe.Pointer(&key))), value: uint64(uintptr(unsafe.Pointer(&value)))}
		_, failed = bpf(unix.BPF_MAP_UPDATE_ELEM, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
		runtime.KeepAlive(&key)
		runtime.KeepAlive(&value)
	})
	if err := errors.Join(err, failed); err != nil {
		t.Fatalf("put a socket into a sockmap: %v", err)
	}
}

// redirect gives what the socket in one map sends to the socket in another, past TCP: return bpf_msg_redirect_map(msg, to, 0, BPF_F_INGRESS).
func redirect(t *testing.T, from, to int) {
	t.Helper()
	type instruction struct {
		code, registers uint8
		offset          int16
		immediate       int32
	}
	program := []instruction{
		{unix.BPF_LD | unix.BPF_IMM | unix.BPF_DW, 1<<4 | 2, 0, int32(to)}, {}, // r2 = map
		{unix.BPF_ALU64 | unix.BPF_MOV, 3, 0, 0}, // r3 = key
		{unix.BPF_ALU64 | unix.BPF_MOV, 4, 0, 1}, // r4 = BPF_F_INGRESS
		{unix.BPF_JMP | unix.BPF_CALL, 0, 0, 60},
		{unix.BPF_JMP | unix.BPF_EXIT, 0, 0, 0},
	}
	license := []byte("GPL\x00")
	load := struct {
		kind, count           uint32
		instructions, license uint64
		rest                  [13]uint64
	}{
		kind: unix.BPF_PROG_TYPE_SK_MSG, count: uint32(len(program)),
		instructions: uint64(uintptr(unsafe.Pointer(&program[0]))), license: uint64(uintptr(unsafe.Pointer(&license[0]))),
	}
	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	runtime.KeepAlive(program)
	runtime.KeepAlive(license)
	if err != nil {
		t.Fatalf("load the program: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	attach := struct{ target, program, kind, flags uint32 }{uint32(from), uint32(fd), unix.BPF_SK_MSG_VERDICT, 0}
	if _, err := bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attach), unsafe.Sizeof(attach)); err != nil {
		t.Fatalf("attach the program: %v", err)
	}
}

// TestRelayOfASockmap: the client's bytes come to the proxy past TCP. splice does not see them; it would tell the end of the stream, and lose all of them.
func TestRelayOfASockmap(t *testing.T) {
	senders, receivers := sockmap(t), sockmap(t)
	redirect(t, senders, receivers)
	w := kernelWorker(t)
	var proxied net.Conn
	source, fd := loopback(t, func(c net.Conn) { proxied = c })
	put(t, receivers, proxied)
	put(t, senders, source)
	o := &oneWay{relays: true}
	sink := pairTo(t, w, func(c loop.Conn) { o.to = c; c.SetHandler(back{o}) })
	w.Post(func(w *loop.Worker) {
		o.from = w.Adopt(loop.NewSocket(fd), 0, loop.Origin{})
		o.from.SetHandler(o)
	})
	want := bytes.Repeat([]byte("redirected past TCP "), 1<<20)
	go func() {
		if _, err := source.Write(want); err != nil {
			t.Error(err)
		}
		source.Close()
	}()
	got, err := io.ReadAll(sink)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d of %d bytes, %v", len(got), len(want), err)
	}
	t.Logf("%d bytes were read, %d spliced", o.shown.Load(), o.relayed.Load())
}

// loopback connects two sockets: one is a net.Conn, of the other seen is shown one, and the descriptor is for a worker.
func loopback(t *testing.T, seen func(net.Conn)) (net.Conn, int) {
	t.Helper()
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	source, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Close() })
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	seen(accepted)
	raw, err := accepted.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd := -1
	if err := raw.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) }); err != nil || fd < 0 {
		t.Fatalf("duplicate: %v", err)
	}
	return source, fd
}
