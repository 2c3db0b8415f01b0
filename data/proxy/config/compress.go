package config

// Compressor is envoy.extensions.filters.http.compressor.v3.Compressor.
type Compressor struct {
	Stat     string // of the connection manager
	Library  Library
	Response CompressResponse
	Request  *CompressDirection // nil: requests are not compressed
	// First makes this the compressor of choice where a client likes several encodings alike (choose_first).
	First bool
}

// CompressDirection says what of a direction is compressed.
type CompressDirection struct {
	Enabled   bool
	MinLength uint64 // content-length from which on; a body without one is long enough
	Types     []*StringMatch
}

// CompressResponse says what of responses is compressed.
type CompressResponse struct {
	CompressDirection
	KeepETag     bool // a response with an ETag is not compressed (disable_on_etag_header)
	WeakenETag   bool // instead of taking a strong one away
	RemoveAccept bool // the upstream does not see accept-encoding
	NotCodes     []int
	Rooted       bool // statistics of responses have a name of their own (response_direction_config is set)
}

// Encoding is a content coding (RFC 9110 section 8.4.1).
type Encoding uint8

// The encodings.
const (
	Gzip Encoding = iota
	Brotli
	Zstd
)

// String is its name in HTTP.
func (e Encoding) String() string { return [...]string{"gzip", "br", "zstd"}[e] }

// Library is compressor_library.
type Library struct {
	Name     string
	Encoding Encoding
	Level    int
	Window   int  // bits, of Brotli
	Checksum bool // of Zstd
}

// CompressorRoute is CompressorPerRoute: off, or else what it says.
type CompressorRoute struct {
	Off          bool
	Response     bool // compress responses although the filter does not
	RemoveAccept *bool
}
