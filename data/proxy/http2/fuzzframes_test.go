package http2

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// pieces are fields of which FuzzFrames makes heads, good and bad.
var pieces = [][2]string{
	{":method", "GET"}, {":method", "POST"}, {":method", "HEAD"}, {":method", "CONNECT"}, {":method", "OPTIONS"}, {":scheme", "http"}, {":scheme", "https"}, {":path", "/"},
	{":path", "/a?b"}, {":path", "*"}, {":path", ""}, {":authority", "a"}, {":authority", "a:80"}, {":authority", ""}, {":protocol", "websocket"}, {":status", "200"},
	{":status", "103"}, {":status", "101"}, {":status", "204"}, {":status", "304"}, {"host", "a"}, {"host", "b"}, {"cookie", "a=b"}, {"content-length", "0"},
	{"content-length", "5"}, {"te", "trailers"}, {"te", "gzip"}, {"connection", "close"}, {"upgrade", "h2c"}, {"x-a", "1"}, {"x-b", " 2"}, {"X-C", "3"}, {"authorization", "me"},
	{"expect", "100-continue"}, {"grpc-status", "0"}, {"", "x"}, {"transfer-encoding", "chunked"},
}

// usual heads, which FuzzFrames begins with as a rule.
var usual = [][]int{{0, 5, 7, 11}, {1, 5, 8, 12}, {2, 6, 7, 11}, {3, 12}, {3, 14, 5, 7, 11}, {15}, {16}, {18}, {19}, {15, 24}, {1, 5, 7, 11, 24}, {}}

// frames makes frames of the input's bytes, each with a stream that is likely to mean something.
func frames(in []byte, client bool) []byte {
	var out, block bytes.Buffer
	w := http2.NewFramer(&out, nil)
	w.AllowIllegalWrites = true
	e := hpack.NewEncoder(&block)
	next := func() byte {
		if len(in) == 0 {
			return 0
		}
		b := in[0]
		in = in[1:]
		return b
	}
	last := uint32(1)
	for len(in) > 0 {
		op, flags := next(), next()
		id := last
		switch {
		case flags&0x40 != 0:
			id = uint32(next())
		case op%16 < 5 && !client && flags&0x20 == 0:
			last += 2
			id = last
		}
		switch op % 16 {
		case 0, 1, 2, 3, 4, 5:
			block.Reset()
			list := usual[int(next())%len(usual)]
			if client && flags&8 == 0 {
				list = usual[5+int(flags)%5]
			}
			for _, i := range list {
				_ = e.WriteField(hpack.HeaderField{Name: pieces[i][0], Value: pieces[i][1]})
			}
			for range flags >> 4 & 3 {
				p := pieces[int(next())%len(pieces)]
				_ = e.WriteField(hpack.HeaderField{Name: p[0], Value: p[1], Sensitive: flags&2 != 0})
			}
			fragment := block.Bytes()
			cut := len(fragment)
			if flags&4 != 0 {
				cut = int(next()) % (cut + 1)
			}
			_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: fragment[:cut], EndStream: flags&1 != 0, EndHeaders: flags&4 == 0, PadLength: flags & 2})
			if flags&4 != 0 && flags&2 == 0 {
				_ = w.WriteContinuation(id, true, fragment[cut:])
			}
		case 6, 7, 8, 9:
			size := []int{0, 1, 5, 100, 16384}[int(next())%5]
			if flags&2 != 0 {
				_ = w.WriteDataPadded(id, flags&1 != 0, make([]byte, size%16384), make([]byte, 1+flags%200))
			} else {
				_ = w.WriteData(id, flags&1 != 0, make([]byte, size))
			}
		case 10:
			_ = w.WriteRSTStream(id, http2.ErrCode(flags%14))
		case 11:
			_ = w.WriteWindowUpdate(id&-uint32(flags&1), []uint32{0, 1, 100, 65535, 1<<31 - 1}[int(next())%5])
		case 12:
			_ = w.WriteSettings(http2.Setting{ID: http2.SettingID(flags % 9), Val: []uint32{0, 1, 100, 4096, 16384, 65535, 1 << 31}[int(next())%7]})
		case 13:
			if flags&1 != 0 {
				_ = w.WriteSettingsAck()
			} else {
				_ = w.WritePing(flags&2 != 0, [8]byte{7: flags >> 2})
			}
		case 14:
			_ = w.WriteGoAway(id, http2.ErrCode(flags%14), []byte("why"))
		case 15:
			_ = w.WriteRawFrame(http2.FrameType(next()), http2.Flags(flags), id, make([]byte, next()%32))
		}
	}
	return out.Bytes()
}

// FuzzFrames feeds whole conversations, which bytes by chance would hardly become, to a server or a client.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0, 0, 0, 6, 1, 2, 0, 1, 0, 11, 0, 3}, []byte{1, 10, 2, 6}, uint8(200), false)
	f.Add([]byte{0, 0, 1, 3, 0x20, 2, 7, 0, 3, 7, 1, 1, 12, 4, 1, 10, 8}, []byte{3, 4, 1, 18, 26}, uint8(9), false)
	f.Add([]byte{5, 0, 5, 0x40, 3, 5, 6, 1, 2, 14, 0x40, 1}, []byte{2, 6, 3, 4, 5}, uint8(50), true)
	f.Fuzz(func(t *testing.T, in, acts []byte, step uint8, client bool) {
		x := &subject{t: t, live: map[*Stream]*hearer{}, acts: acts}
		start := []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}
		if client {
			x.conn.Init(Client, fuzzLimits(), x, x, &x.slab)
			x.ask()
		} else {
			x.conn.Init(Server, fuzzLimits(), x, x, &x.slab)
			start = append([]byte(preface), start...)
		}
		x.run(append(start, frames(in, client)...), 1+int(step))
	})
}

// ask opens three streams of a client.
func (f *subject) ask() {
	for i, method := range []string{"GET", "POST", "HEAD"} {
		h := &hearer{f: f}
		h.s = f.conn.Open(h)
		f.live[h.s] = h
		var head codec.Head
		head.Reset()
		head.SetMethod([]byte(method))
		head.SetPath([]byte("/"))
		h.s.Head(&head, i != 1)
	}
}

// TestConversations runs many of them: what a fuzzer would try first, without one.
func TestConversations(t *testing.T) {
	for seed := range uint64(*conversations) {
		r := rand.New(rand.NewPCG(seed, 3))
		in, acts := make([]byte, r.IntN(400)), make([]byte, r.IntN(100))
		for _, b := range [][]byte{in, acts} {
			for i := range b {
				b[i] = byte(r.Uint32())
			}
		}
		client := seed%3 == 0
		x := &subject{t: t, live: map[*Stream]*hearer{}, acts: acts}
		start := []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}
		l := fuzzLimits()
		l.EmptyFrames, l.PrematureResets = 100, 1000 // or most would be over soon
		if client {
			x.conn.Init(Client, l, x, x, &x.slab)
			x.ask()
		} else {
			x.conn.Init(Server, l, x, x, &x.slab)
			start = append([]byte(preface), start...)
		}
		for i := 0; i < len(in); i += 2 {
			in[i] = in[i] &^ 0x80
			if i+1 < len(in) && r.IntN(4) > 0 {
				in[i+1] &^= 0x70 // the next stream as a rule, with few more fields
			}
		}
		x.run(append(start, frames(in, client)...), 1+r.IntN(3000))
	}
}

var conversations = flag.Int("conversations", 2000, "how many TestConversations runs")
