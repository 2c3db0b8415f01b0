package compress

import (
	"bytes"
	"compress/gzip"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// writer is what the libraries have in common.
type writer interface {
	io.WriteCloser
	Flush() error
	Reset(w io.Writer)
}

// zstdWriter has a Reset without a result like the others.
type zstdWriter struct{ *zstd.Encoder }

// Reset implements writer.
func (z zstdWriter) Reset(w io.Writer) { z.Encoder.Reset(w) }

// encoders are those of one configuration that nobody uses: each holds up to a megabyte, which is dear to make.
type encoders struct {
	pool sync.Pool
}

func newEncoders(l config.Library) (*encoders, error) {
	make := func() (writer, error) {
		switch l.Encoding {
		case config.Brotli:
			return brotli.NewWriterOptions(io.Discard, brotli.WriterOptions{Quality: l.Level, LGWin: l.Window}), nil
		case config.Zstd:
			e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(l.Level)), zstd.WithEncoderCRC(l.Checksum), zstd.WithEncoderConcurrency(1))
			return zstdWriter{e}, err
		}
		return gzip.NewWriterLevel(io.Discard, l.Level)
	}
	if _, err := make(); err != nil {
		return nil, err
	}
	e := &encoders{}
	e.pool.New = func() any {
		w, _ := make() // it was made once with the same settings
		return w
	}
	return e, nil
}

// encoder is a stream.Transform that compresses a body. Every piece is flushed, so that what an upstream sends by and by comes by and by.
type encoder struct {
	from     *encoders
	w        writer
	out      bytes.Buffer
	shard    *stats.Shard
	in, sent stats.Handle
}

func (e *encoders) begin(shard *stats.Shard, in, sent stats.Handle) *encoder {
	c := &encoder{from: e, w: e.pool.Get().(writer), shard: shard, in: in, sent: sent}
	c.w.Reset(&c.out)
	return c
}

// Body implements stream.Transform. Writing to memory does not fail.
func (e *encoder) Body(p []byte, end bool) []byte {
	e.out.Reset()
	if len(p) > 0 {
		_, _ = e.w.Write(p)
	}
	if end {
		_ = e.w.Close()
	} else if len(p) > 0 {
		_ = e.w.Flush()
	}
	e.shard.Add(e.in, uint64(len(p)))
	e.shard.Add(e.sent, uint64(e.out.Len()))
	return e.out.Bytes()
}

// Trailers implements stream.Transform.
func (e *encoder) Trailers(*codec.Fields) []byte { return e.Body(nil, true) }

// Close implements stream.Transform.
func (e *encoder) Close() {
	if e.w != nil {
		e.w.Reset(io.Discard) // it must not keep the buffer
		e.from.pool.Put(e.w)
		e.w = nil
	}
}
