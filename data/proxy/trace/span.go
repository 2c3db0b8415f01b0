package trace

import (
	"strconv"
	"time"
)

// Kind is what a span's proxy was to the request.
type Kind uint8

// The kinds, in OTLP's numbers.
const (
	Server Kind = 2
	Client Kind = 3
)

// Span is one hop of a sampled request. It belongs to its worker, and is used again after Exporter.Finish.
type Span struct {
	Context
	Kind       Kind
	Name       string
	Start, End time.Time
	State      string // tracestate
	Failed     bool
	Shared     bool // has the id of the caller's span, as Zipkin allows
	tags       []tag
	text       []byte
}

type tag struct {
	key      string
	from, to int
}

// Tag adds a tag.
func (s *Span) Tag(key, value string) {
	from := len(s.text)
	s.text = append(s.text, value...)
	s.tags = append(s.tags, tag{key, from, len(s.text)})
}

// TagBytes is Tag for a value that is used again.
func (s *Span) TagBytes(key string, value []byte) {
	from := len(s.text)
	s.text = append(s.text, value...)
	s.tags = append(s.tags, tag{key, from, len(s.text)})
}

// TagInt is Tag for a number.
func (s *Span) TagInt(key string, n int64) {
	from := len(s.text)
	s.text = strconv.AppendInt(s.text, n, 10)
	s.tags = append(s.tags, tag{key, from, len(s.text)})
}

func (s *Span) value(t tag) []byte { return s.text[t.from:t.to] }

// reset empties a span for the next use.
func (s *Span) reset() { *s = Span{tags: s.tags[:0], text: s.text[:0]} }
