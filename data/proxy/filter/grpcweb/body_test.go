package grpcweb

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// FuzzText: whatever pieces a stream of messages comes in, the text form undone gives the same bytes, and the trailers behind them; and a request's text is what was encoded.
func FuzzText(f *testing.F) {
	f.Add([]byte("hello"), []byte("second"), uint8(3))
	f.Add([]byte(""), []byte{0x80, 1, 2}, uint8(1))
	f.Fuzz(func(t *testing.T, a, b []byte, step uint8) {
		var whole []byte
		for _, m := range [][]byte{a, b} {
			whole = append(binary.BigEndian.AppendUint32(append(whole, 0), uint32(len(m))), m...)
		}
		e, sent := &encoder{text: true}, []byte(nil)
		for rest := whole; len(rest) > 0; {
			n := min(len(rest), int(step)+1)
			sent = append(sent, e.Body(rest[:n], false)...)
			rest = rest[n:]
		}
		trailers := &codec.Fields{}
		trailers.AddString(codec.GRPCStatus, "0")
		sent = append(sent, e.Trailers(trailers)...)
		if trailers.Len() != 0 {
			t.Fatalf("%d trailers are left", trailers.Len())
		}
		d, got := &decoder{}, []byte(nil)
		for rest := sent; len(rest) > 0; {
			n := min(len(rest), int(step)+1)
			got = append(got, d.Body(rest[:n], false)...)
			rest = rest[n:]
		}
		got = append(got, d.Body(nil, true)...)
		want := append(bytes.Clone(whole), "\x80\x00\x00\x00\x0fgrpc-status:0\r\n"...)
		if d.Broken() != "" || !bytes.Equal(got, want) {
			t.Fatalf("%q became %q, and that %q (%s)", whole, sent, got, d.Broken())
		}
	})
}

// FuzzDecode: a request's text is what base64 says, or broken.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("aGVsbG8="), uint8(2))
	f.Add([]byte("****"), uint8(0))
	f.Fuzz(func(t *testing.T, p []byte, step uint8) {
		d, got := &decoder{}, []byte(nil)
		for rest := p; len(rest) > 0 && d.Broken() == ""; {
			n := min(len(rest), int(step)+1)
			got = append(got, d.Body(rest[:n], false)...)
			rest = rest[n:]
		}
		got = append(got, d.Body(nil, true)...)
		if want, err := base64.StdEncoding.DecodeString(string(p)); err == nil && !bytes.ContainsAny(p, "\r\n") && (d.Broken() != "" || !bytes.Equal(got, want)) {
			t.Fatalf("%q became %q (%s), want %q", p, got, d.Broken(), want)
		}
	})
}
