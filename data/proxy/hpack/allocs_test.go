//go:build !race

package hpack

import (
	"fmt"
	"testing"

	reference "golang.org/x/net/http2/hpack"
)

// request are the fields of a usual request in a mesh; the last two are different every time.
func request(i int) [][2][]byte {
	list := [][2]string{
		{":method", "GET"}, {":scheme", "http"}, {":authority", "reviews.default.svc.cluster.local:9080"}, {":path", "/reviews/0"}, {"user-agent", "curl/8.5.0"}, {"accept", "*/*"},
		{"x-forwarded-proto", "http"}, {"x-envoy-attempt-count", "1"},
	}
	if i >= 0 {
		list = append(list, [2]string{"x-request-id", fmt.Sprintf("6c1e7c4e-3f0a-4e1d-9a3b-%012d", i)}, [2]string{"traceparent", fmt.Sprintf("00-%032d-%016d-01", i, i)})
	}
	var out [][2][]byte
	for _, p := range list {
		out = append(out, [2][]byte{[]byte(p[0]), []byte(p[1])})
	}
	return out
}

// count is a Sink that does nothing.
type count struct{ fields, bytes int }

func (c *count) Field(name, value []byte, _ bool) {
	c.fields++
	c.bytes += len(name) + len(value)
}

func TestNoAllocs(t *testing.T) {
	var e Encoder
	e.Init(4096, false)
	d := newDecoder(4096)
	var requests [50][][2][]byte
	for i := range requests {
		requests[i] = request(i)
	}
	b := make([]byte, 0, 4096)
	var c count
	i := 0
	round := func() {
		b = e.Begin(b[:0])
		for _, f := range requests[i%len(requests)] {
			b = e.Append(b, f[0], f[1], false)
		}
		b = e.AppendStatus(b, 207)
		if _, err := d.Decode(b, true, &c); err != nil {
			t.Fatal(err)
		}
		i++
	}
	for range 500 { // until every buffer has its size
		round()
	}
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Errorf("%v allocations per block", n)
	}
	if c.fields != i*11 {
		t.Errorf("%d fields of %d blocks", c.fields, i)
	}
}

func benchmark(b *testing.B, vary bool, ours bool, decode bool) {
	var requests [64][][2][]byte
	for i := range requests {
		requests[i] = request(-1)
		if vary {
			requests[i] = request(i)
		}
	}
	var e Encoder
	e.Init(4096, false)
	var blocks [3 * 64][]byte // the first two rounds fill the tables
	for i := range blocks {
		for _, f := range requests[i%64] {
			blocks[i] = e.Append(blocks[i], f[0], f[1], false)
		}
	}
	d, c := newDecoder(4096), &count{}
	ref := reference.NewDecoder(4096, func(f reference.HeaderField) { c.fields++ })
	for _, block := range blocks[:128] {
		_, _ = d.Decode(block, true, c)
		_, _ = ref.Write(block)
	}
	var sink writer
	refEncoder := reference.NewEncoder(&sink)
	b.ReportAllocs()
	buf := make([]byte, 0, 4096)
	for i := 0; b.Loop(); i++ {
		switch {
		case decode && ours:
			_, _ = d.Decode(blocks[128+i%64], true, c)
		case decode:
			_, _ = ref.Write(blocks[128+i%64])
		case ours:
			buf = buf[:0]
			for _, f := range requests[i%64] {
				buf = e.Append(buf, f[0], f[1], false)
			}
		default:
			for _, f := range requests[i%64] {
				_ = refEncoder.WriteField(reference.HeaderField{Name: string(f[0]), Value: string(f[1])})
			}
		}
	}
}

type writer struct{}

func (writer) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkDecode(b *testing.B) {
	b.Run("indexed", func(b *testing.B) { benchmark(b, false, true, true) })
	b.Run("indexed/x-net", func(b *testing.B) { benchmark(b, false, false, true) })
	b.Run("varying", func(b *testing.B) { benchmark(b, true, true, true) })
	b.Run("varying/x-net", func(b *testing.B) { benchmark(b, true, false, true) })
}

func BenchmarkEncode(b *testing.B) {
	b.Run("indexed", func(b *testing.B) { benchmark(b, false, true, false) })
	b.Run("indexed/x-net", func(b *testing.B) { benchmark(b, false, false, false) })
	b.Run("varying", func(b *testing.B) { benchmark(b, true, true, false) })
	b.Run("varying/x-net", func(b *testing.B) { benchmark(b, true, false, false) })
}
