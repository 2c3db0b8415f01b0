// Package hpack is header compression for HTTP/2 (RFC 7541): field blocks in, fields out, and the other way round.
//
// In: fragments of a block, cut anywhere, to a Decoder; fields, one by one, to an Encoder. Out: calls on a Sink; bytes appended to a buffer of the caller's. A Decoder and
// an Encoder are the state of one direction of one connection each and belong to one goroutine. Their tables are pieces of bytes, not strings, and grow as they are
// used: a connection that sends nothing costs nothing, and one whose fields repeat allocates nothing.
//
// The code of section 5.2 is canonical, so the lengths of its words are all that is written down here; words and decoding tables are computed.
package hpack

import "errors"

// The errors of decoding. Each of them leaves the tables of the two ends apart: the connection must end with COMPRESSION_ERROR (RFC 9113 section 4.3).
var (
	ErrIndex     = errors.New("index of no entry")
	ErrInteger   = errors.New("integer is too large or too long")
	ErrHuffman   = errors.New("invalid Huffman code or padding")
	ErrUpdate    = errors.New("table size update behind a field, too often or above the limit")
	ErrNoUpdate  = errors.New("no table size update after the limit fell")
	ErrString    = errors.New("string is longer than the limit")
	ErrTruncated = errors.New("block ends inside a field")
)

// maxInteger bounds every integer: nothing that is meant seriously is larger.
const maxInteger = 1<<28 - 1

// Size counts a field as tables and limits on lists do (RFC 7541 section 4.1, RFC 9113 section 6.5.2).
func Size(name, value []byte) int { return len(name) + len(value) + overhead }

const overhead = 32
