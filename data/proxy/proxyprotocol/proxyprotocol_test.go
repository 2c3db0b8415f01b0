package proxyprotocol_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/proxyprotocol"
)

const signature = "\r\n\r\n\x00\r\nQUIT\n"

// two is a header of version 2: command, family, and what the length counts.
func two(command, family byte, rest string) string {
	return signature + string([]byte{command, family}) + string(binary.BigEndian.AppendUint16(nil, uint16(len(rest)))) + rest
}

var (
	ends4 = "\x0a\x00\x00\x01\x0a\x00\x00\x02\x1f\x90\x00\x50"
	ends6 = "\xfd" + strings.Repeat("\x00", 14) + "\x01" + "\xfd" + strings.Repeat("\x00", 14) + "\x02" + "\x1f\x90\x00\x50"
)

func TestParse(t *testing.T) {
	strict, optional := config.ProxyHeader{}, config.ProxyHeader{Optional: true}
	from4, to4, from6, to6 := "10.0.0.1:8080", "10.0.0.2:80", "[fd00::1]:8080", "[fd00::2]:80"
	for _, x := range []struct {
		name, in     string
		c            config.ProxyHeader
		v            proxyprotocol.Verdict
		version      uint8
		from, to, is string // is: what follows the header
	}{
		{"text, IPv4", "PROXY TCP4 10.0.0.1 10.0.0.2 8080 80\r\nGET", strict, proxyprotocol.Found, 1, from4, to4, "GET"},
		{"text, IPv6", "PROXY TCP6 fd00::1 fd00::2 8080 80\r\n", strict, proxyprotocol.Found, 1, from6, to6, ""},
		{"text, the proxy itself", "PROXY UNKNOWN\r\nx", strict, proxyprotocol.Found, 1, "", "", "x"},
		{"text, unknown with more", "PROXY UNKNOWN ffff:: ffff:: 1 2\r\nx", strict, proxyprotocol.Found, 1, "", "", "x"},
		{"text, half", "PROXY TCP4 10.0.0.1 10.0.0.2 80", strict, proxyprotocol.More, 1, "", "", ""},
		{"text, ends in CR", "PROXY UNKNOWN\r", strict, proxyprotocol.More, 1, "", "", ""},
		{"text, too long", "PROXY UNKNOWN" + strings.Repeat(" ", 100) + "\r\n", strict, proxyprotocol.Broken, 1, "", "", ""},
		{"text, longest", "PROXY UNKNOWN" + strings.Repeat("x", 0) + strings.Repeat(" ", 92) + "\r\n", strict, proxyprotocol.Found, 1, "", "", ""},
		{"text, two blanks", "PROXY TCP4  10.0.0.1 10.0.0.2 8080 80\r\n", strict, proxyprotocol.Broken, 1, "", "", ""},
		{"text, blank at the end", "PROXY TCP4 10.0.0.1 10.0.0.2 8080 80 \r\n", strict, proxyprotocol.Broken, 1, "", "", ""},
		{"text, port too large", "PROXY TCP4 10.0.0.1 10.0.0.2 65536 80\r\n", strict, proxyprotocol.Broken, 1, "", "", ""},
		{"text, port with a sign", "PROXY TCP4 10.0.0.1 10.0.0.2 +8080 80\r\n", strict, proxyprotocol.Broken, 1, "", "", ""},
		{"text, port like octal", "PROXY TCP4 10.0.0.1 10.0.0.2 08080 80\r\n", strict, proxyprotocol.Broken, 1, "", "", ""},
		{"text, address like octal", "PROXY TCP4 010.0.0.1 10.0.0.2 8080 80\r\n", strict, proxyprotocol.Broken, 1, "", "", ""},
		{"text, family and address differ", "PROXY TCP4 fd00::1 fd00::2 8080 80\r\n", strict, proxyprotocol.Broken, 1, "", "", ""},
		{"text, zone", "PROXY TCP6 fe80::1%eth0 fd00::2 8080 80\r\n", strict, proxyprotocol.Broken, 1, "", "", ""},
		{"text, multicast", "PROXY TCP4 224.0.0.1 10.0.0.2 8080 80\r\n", strict, proxyprotocol.Broken, 1, "", "", ""},
		{"text, nobody", "PROXY TCP4 0.0.0.0 10.0.0.2 8080 80\r\n", strict, proxyprotocol.Broken, 1, "", "", ""},
		{"text, small letters", "PROXY tcp4 10.0.0.1 10.0.0.2 8080 80\r\n", strict, proxyprotocol.Broken, 1, "", "", ""},
		{"text, not taken", "PROXY TCP4 ", config.ProxyHeader{NoV1: true}, proxyprotocol.Disallowed, 1, "", "", ""},
		{"binary, IPv4", two(0x21, 0x11, ends4) + "GET", strict, proxyprotocol.Found, 2, from4, to4, "GET"},
		{"binary, IPv6", two(0x21, 0x21, ends6), strict, proxyprotocol.Found, 2, from6, to6, ""},
		{"binary, datagrams", two(0x21, 0x12, ends4), strict, proxyprotocol.Found, 2, from4, to4, ""},
		{"binary, the proxy itself", two(0x20, 0, "") + "x", strict, proxyprotocol.Found, 2, "", "", "x"},
		{"binary, the proxy itself with more", two(0x20, 0x31, "anything") + "x", strict, proxyprotocol.Found, 2, "", "", "x"},
		{"binary, extensions", two(0x21, 0x11, ends4+"\x04\x00\x00\xea\x00\x02ab") + "x", strict, proxyprotocol.Found, 2, from4, to4, "x"},
		{"binary, broken extension", two(0x21, 0x11, ends4+"\x04\x00\x01"), strict, proxyprotocol.Broken, 2, "", "", ""},
		{"binary, half an extension", two(0x21, 0x11, ends4+"\x04"), strict, proxyprotocol.Broken, 2, "", "", ""},
		{"binary, too short for its family", two(0x21, 0x21, ends4), strict, proxyprotocol.Broken, 2, "", "", ""},
		{"binary, unix socket", two(0x21, 0x31, strings.Repeat("a", 216)), strict, proxyprotocol.Broken, 2, "", "", ""},
		{"binary, no family", two(0x21, 0x00, ""), strict, proxyprotocol.Broken, 2, "", "", ""},
		{"binary, version 3", two(0x31, 0x11, ends4), strict, proxyprotocol.Broken, 2, "", "", ""},
		{"binary, command 2", two(0x22, 0x11, ends4), strict, proxyprotocol.Broken, 2, "", "", ""},
		{"binary, not all here", two(0x21, 0x11, ends4)[:27], strict, proxyprotocol.More, 2, "", "", ""},
		{"binary, not taken", two(0x21, 0x11, ends4), config.ProxyHeader{NoV2: true}, proxyprotocol.Disallowed, 2, "", "", ""},
		{"nothing yet", "", strict, proxyprotocol.More, 0, "", "", ""},
		{"neither yet", "\r\n", strict, proxyprotocol.More, 0, "", "", ""},
		{"neither", "GET / HTTP/1.1\r\n", strict, proxyprotocol.Missing, 0, "", "", ""},
		{"neither, optional", "GET / HTTP/1.1\r\n", optional, proxyprotocol.Absent, 0, "", "", "GET / HTTP/1.1\r\n"},
		{"perhaps, optional", "PRO", optional, proxyprotocol.More, 0, "", "", ""},
		{"another word, optional", "PROXYING", optional, proxyprotocol.Absent, 0, "", "", "PROXYING"},
		{"broken, optional", "PROXY TCP5\r\n", optional, proxyprotocol.Broken, 1, "", "", ""},
		{"not taken, optional", "PROXY UNKNOWN\r\n", config.ProxyHeader{Optional: true, NoV1: true}, proxyprotocol.Absent, 0, "", "", "PROXY UNKNOWN\r\n"},
	} {
		h, n, v := proxyprotocol.Parse([]byte(x.in), &x.c)
		got := func(a netip.AddrPort) string {
			if !a.IsValid() {
				return ""
			}
			return a.String()
		}
		if v != x.v || h.Version != x.version || got(h.From) != x.from || got(h.To) != x.to {
			t.Errorf("%s: verdict %d, version %d, from %s to %s", x.name, v, h.Version, h.From, h.To)
		} else if (v == proxyprotocol.Found || v == proxyprotocol.Absent) && x.in[n:] != x.is {
			t.Errorf("%s: %q is left", x.name, x.in[n:])
		}
	}
}

// TestPartsNeverDecide: a header that is right is right in whatever pieces it comes, and nothing is decided before its last byte.
func TestPartsNeverDecide(t *testing.T) {
	for _, in := range []string{"PROXY TCP4 10.0.0.1 10.0.0.2 8080 80\r\n", "PROXY UNKNOWN\r\n", two(0x21, 0x21, ends6+"\x04\x00\x00"), two(0x20, 0, "abc")} {
		for _, c := range []config.ProxyHeader{{}, {Optional: true}} {
			for n := range len(in) {
				if _, _, v := proxyprotocol.Parse([]byte(in[:n]), &c); v != proxyprotocol.More {
					t.Fatalf("%q after %d bytes: verdict %d", in, n, v)
				}
			}
		}
	}
}

func TestAppendIsRead(t *testing.T) {
	one, two, six := netip.MustParseAddrPort("10.0.0.1:1024"), netip.MustParseAddrPort("192.0.2.7:65535"), netip.MustParseAddrPort("[2001:db8::7]:443")
	for _, x := range []struct{ from, to, wantFrom, wantTo netip.AddrPort }{
		{one, two, one, two}, {six, six, six, six}, {one, six, one, six}, {netip.AddrPort{}, two, netip.AddrPort{}, netip.AddrPort{}},
		{netip.AddrPortFrom(netip.MustParseAddr("fe80::1%eth0"), 1), six, netip.MustParseAddrPort("[fe80::1]:1"), six},
	} {
		for version := uint8(1); version <= 2; version++ {
			b := append(proxyprotocol.Append(nil, version, x.from, x.to, nil), "rest"...)
			h, n, v := proxyprotocol.Parse(b, &config.ProxyHeader{})
			if v != proxyprotocol.Found || h.Version != version || h.From != x.wantFrom || h.To != x.wantTo || string(b[n:]) != "rest" {
				t.Errorf("%q: verdict %d, %+v, %q is left", b, v, h, b[n:])
			}
		}
	}
}

func TestExtend(t *testing.T) {
	const one, two, three = "\x01\x00\x02h2", "\x02\x00\x01a", "\xe0\x00\x00"
	list := []byte(one + two + three)
	added := []config.TLV{{Type: 0xe1, Value: []byte("xyz")}, {Type: 2, Value: nil}}
	for _, x := range []struct {
		c    *config.ProxyTLVs
		want string
	}{
		{nil, ""},
		{&config.ProxyTLVs{}, ""},
		{&config.ProxyTLVs{Pass: &config.TLVTypes{All: true}}, one + two + three},
		{&config.ProxyTLVs{Pass: &config.TLVTypes{Some: map[uint8]bool{2: true, 0xe0: true, 9: true}}}, two + three},
		{&config.ProxyTLVs{Added: added}, "\xe1\x00\x03xyz\x02\x00\x00"},
		{&config.ProxyTLVs{Added: added, Pass: &config.TLVTypes{All: true}}, "\xe1\x00\x03xyz\x02\x00\x00" + one + three},
	} {
		if got := proxyprotocol.Extend(nil, list, x.c); string(got) != x.want {
			t.Errorf("%+v gives %q, want %q", x.c, got, x.want)
		}
	}
	most := append([]byte{1}, binary.BigEndian.AppendUint16(nil, config.MaxTLVs-3)...)
	most = append(most, make([]byte, config.MaxTLVs-3)...)
	if got := proxyprotocol.Extend(nil, append(most, one...), &config.ProxyTLVs{Pass: &config.TLVTypes{All: true}}); len(got) != len(most) {
		t.Errorf("%d bytes of extensions, want the %d that there is room for", len(got), len(most))
	}
}

func TestNothingIsAllocated(t *testing.T) {
	from, to := netip.MustParseAddrPort("[2001:db8::7]:443"), netip.MustParseAddrPort("[2001:db8::8]:65535")
	var room [128]byte
	c := &config.ProxyHeader{}
	for version := uint8(1); version <= 2; version++ {
		if n := testing.AllocsPerRun(100, func() {
			b := proxyprotocol.Append(room[:0], version, from, to, nil)
			if _, _, v := proxyprotocol.Parse(b, c); v != proxyprotocol.Found {
				t.Fatal("not found")
			}
		}); n != 0 {
			t.Errorf("version %d: %v allocations", version, n)
		}
	}
}

// FuzzParse: what is taken says the same when it is written anew, and a verdict does not change with what follows the header.
func FuzzParse(f *testing.F) {
	for _, in := range []string{"PROXY TCP4 10.0.0.1 10.0.0.2 8080 80\r\nGET", "PROXY TCP6 fd00::1 fd00::2 8080 80\r\n", "PROXY UNKNOWN\r\n", two(0x21, 0x11, ends4), two(0x21, 0x21, ends6+"\x04\x00\x00"),
		two(0x20, 0, "abc"), "GET / HTTP/1.1\r\n", "\r\n\r\n"} {
		f.Add([]byte(in), false, false, false)
		f.Add([]byte(in), true, true, false)
	}
	f.Fuzz(func(t *testing.T, p []byte, optional, no1, no2 bool) {
		c := &config.ProxyHeader{Optional: optional, NoV1: no1, NoV2: no2}
		h, n, v := proxyprotocol.Parse(p, c)
		if n < 0 || n > len(p) {
			t.Fatalf("the header has %d bytes of %d", n, len(p))
		}
		if v != proxyprotocol.Found {
			if h.From.IsValid() || h.To.IsValid() {
				t.Fatalf("verdict %d with %+v", v, h)
			}
			return
		}
		if h.From.IsValid() != h.To.IsValid() || h.Version == 1 && no1 || h.Version == 2 && no2 {
			t.Fatalf("%+v", h)
		}
		if again, m, v := proxyprotocol.Parse(p[:n], c); v != proxyprotocol.Found || m != n || again != h {
			t.Fatalf("%+v by itself, %+v before %q", again, h, p[n:])
		}
		var list []byte
		if h.Extensions > 0 {
			list = proxyprotocol.Select(nil, p[h.Extensions:n], &config.TLVTypes{All: true})
			if !bytes.Equal(list, p[h.Extensions:n]) {
				t.Fatalf("%q was taken as the extensions %q", p[h.Extensions:n], list)
			}
		}
		b := proxyprotocol.Append(nil, h.Version, h.From, h.To, list)
		again, m, v := proxyprotocol.Parse(b, c)
		if v != proxyprotocol.Found || again.From != h.From || again.To != h.To || again.Extensions > 0 != (len(list) > 0) || again.Extensions > 0 && !bytes.Equal(b[again.Extensions:m], list) {
			t.Fatalf("%+v was written as %q, and read as %+v", h, b, again)
		}
		if bytes.Contains(p[:n-2], []byte("\r\n")) && h.Version == 1 {
			t.Fatal("a line has two ends")
		}
	})
}
