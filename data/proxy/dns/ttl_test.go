package dns

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// answers makes the response to a question: an alias that holds for a while, and the address behind it, which holds for another.
func answers(t testing.TB, query []byte, alias, address uint32) []byte {
	t.Helper()
	var q dnsmessage.Message
	if err := q.Unpack(query); err != nil {
		t.Error(err)
		return nil
	}
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RecursionAvailable: true}, Questions: q.Questions}
	to := dnsmessage.MustNewName("other.test.")
	m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: alias}, Body: &dnsmessage.CNAMEResource{CNAME: to}})
	if q.Questions[0].Type == dnsmessage.TypeA {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: to, Class: dnsmessage.ClassINET, TTL: address}, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}}})
	}
	b, err := m.Pack()
	if err != nil {
		t.Error(err)
	}
	return b
}

// nameServer answers over UDP and TCP at one address.
func nameServer(t *testing.T, alias, address uint32) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); u.Close() })
	go func() {
		for b := make([]byte, 4096); ; {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = u.WriteTo(answers(t, b[:n], alias, address), from)
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var size [2]byte
			if _, err := io.ReadFull(c, size[:]); err == nil {
				b := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(c, b); err == nil {
					a := answers(t, b, alias, address)
					_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...))
				}
			}
			c.Close()
		}
	}()
	return l.Addr().String()
}

func TestLifetimeOfALookUp(t *testing.T) {
	for _, tt := range []struct {
		alias, address uint32
		want           time.Duration
	}{{30, 60, 30 * time.Second}, {60, 7, 7 * time.Second}, {0, 9, 9 * time.Second}, {0, 0, 0}} {
		at := nameServer(t, tt.alias, tt.address)
		for _, network := range []string{"udp", "tcp"} {
			var l Lifetime
			r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				c, err := direct(ctx, network, at)
				if err != nil {
					return nil, err
				}
				return l.Watch(c), nil
			}}
			ips, err := r.LookupNetIP(t.Context(), "ip", "web.test.")
			if err != nil || len(ips) != 1 || ips[0].String() != "192.0.2.1" || l.TTL() != tt.want {
				t.Errorf("%s: %v, %v, %s; want %s", network, ips, err, l.TTL(), tt.want)
			}
		}
	}
}

// FuzzLifetime: what a name server sends cannot make the watcher panic, or a look-up last for ever.
func FuzzLifetime(f *testing.F) {
	f.Add(answers(f, ask("web.test.", dnsmessage.TypeA), 30, 60))
	f.Fuzz(func(t *testing.T, b []byte) {
		var l Lifetime
		l.note(b)
		if l.TTL() < 0 {
			t.Fatalf("it holds for %s", l.TTL())
		}
	})
}
