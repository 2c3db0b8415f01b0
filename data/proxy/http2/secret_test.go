package http2

import (
	"bytes"
	"testing"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// keeper is a server's owner that keeps the head of a request, and a client's that owns nothing.
type keeper struct {
	out  bytes.Buffer
	head codec.Head
}

func (k *keeper) Write(p []byte)                         { k.out.Write(p) }
func (k *keeper) Buffered() int                          { return 0 }
func (k *keeper) Attend()                                {}
func (k *keeper) Closed(*Stream)                         {}
func (k *keeper) Malformed(*Stream, *codec.Head, *Error) {}
func (k *keeper) Request(_ *Stream, h *codec.Head, _ bool) codec.Receiver {
	k.head.CopyFrom(h)
	return nil
}

// TestNeverIndexedStaysSo: what a client keeps out of compression tables is kept out of them on the next hop (RFC 7541 section 7.1.3), a cookie whole when one crumb of it is.
func TestNeverIndexedStaysSo(t *testing.T) {
	var in, slab, block = &bytes.Buffer{}, &Slab{}, &bytes.Buffer{}
	in.WriteString(preface)
	f := xhttp2.NewFramer(in, nil)
	e := hpack.NewEncoder(block)
	for _, x := range []hpack.HeaderField{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "a"}, {Name: ":path", Value: "/"}, {Name: "x-token", Value: "t", Sensitive: true},
		{Name: "x-plain", Value: "p"}, {Name: "cookie", Value: "theme=a-long-and-harmless-value"}, {Name: "cookie", Value: "session=a-long-value-that-nobody-may-guess", Sensitive: true},
	} {
		if err := e.WriteField(x); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}); err != nil {
		t.Fatal(err)
	}
	var server, client Conn
	from, to := &keeper{}, &keeper{}
	server.Init(Server, Defaults(), from, from, slab)
	if _, err := server.Feed(in.Bytes()); err != nil {
		t.Fatal(err)
	}
	client.Init(Client, Defaults(), to, to, slab)
	client.Open(nil).Head(&from.head, true)
	to.out.Next(len(preface))
	out := xhttp2.NewFramer(nil, &to.out)
	out.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		frame, err := out.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		h, ok := frame.(*xhttp2.MetaHeadersFrame)
		if !ok {
			continue
		}
		for _, x := range h.RegularFields() {
			if want := x.Name != "x-plain"; x.Sensitive != want {
				t.Errorf("%v: never indexed %t, want %t", x, x.Sensitive, want)
			}
		}
		return
	}
}
