package decode

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	brotliv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/brotli/compressor/v3"
	gzipv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/gzip/compressor/v3"
	zstdv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/zstd/compressor/v3"
	compressorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/compressor/v3"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Envoy's defaults for compressors.
const (
	defaultMinLength     = 30
	defaultBrotliQuality = 3
	defaultBrotliWindow  = 18
	defaultZstdLevel     = 3
)

// defaultTypes are the content types that are compressed when nothing is said of them.
var defaultTypes = strings.Fields(`text/html text/plain text/css application/javascript application/x-javascript text/javascript text/x-javascript text/ecmascript text/js text/jscript text/x-js
	application/ecmascript application/x-json application/xml application/json image/svg+xml text/xml application/xhtml+xml`)

func (r *read) compressor(path string, m *compressorv3.Compressor, prefix string) *config.Compressor {
	c := &config.Compressor{Stat: prefix, Library: r.library(path+".compressor_library", m.GetCompressorLibrary()), First: m.GetChooseFirst()}
	d := m.GetResponseDirectionConfig()
	p := path + ".response_direction_config"
	c.Response = config.CompressResponse{
		CompressDirection: r.direction(p+".common_config", d.GetCommonConfig()), KeepETag: d.GetDisableOnEtagHeader() && !d.GetWeakenEtagOnCompress(), WeakenETag: d.GetWeakenEtagOnCompress(),
		RemoveAccept: d.GetRemoveAcceptEncodingHeader(), Rooted: d != nil,
	}
	for i, n := range d.GetUncompressibleResponseCodes() {
		if n < 200 || n > 599 {
			r.add(at(p, "uncompressible_response_codes", i), "%d is not a status from 200 to 599", n)
		}
		c.Response.NotCodes = append(c.Response.NotCodes, int(n))
	}
	if q := m.GetRequestDirectionConfig(); q != nil {
		one := r.direction(path+".request_direction_config.common_config", q.GetCommonConfig())
		c.Request = &one
	}
	return c
}

func (r *read) direction(path string, m *compressorv3.Compressor_CommonDirectionConfig) config.CompressDirection {
	d := config.CompressDirection{Enabled: boolean(m.GetEnabled().GetDefaultValue(), true), MinLength: uint64(number(m.GetMinContentLength(), defaultMinLength))}
	types := m.GetContentType()
	if len(types) == 0 {
		types = defaultTypes
	}
	for i, one := range m.GetContentTypeMatcher() {
		if match := r.stringMatch(at(path, "content_type_matcher", i), one); match != nil {
			d.Types = append(d.Types, match)
		}
	}
	if len(m.GetContentTypeMatcher()) > 0 {
		return d
	}
	for _, t := range types {
		d.Types = append(d.Types, &config.StringMatch{Value: strings.ToLower(t), IgnoreCase: true})
	}
	return d
}

func (r *read) library(path string, m *corev3.TypedExtensionConfig) config.Library {
	l := config.Library{Name: m.GetName()}
	p := path + ".typed_config."
	within := func(field string, n, from, to uint32) int {
		if n < from || n > to {
			r.add(p+field, "want %d to %d", from, to)
		}
		return int(n)
	}
	if m.GetTypedConfig() == nil {
		r.add(path+".typed_config", "it is missing")
		return l
	}
	inner, err := open(m.GetTypedConfig())
	if err != nil {
		return l // reported already
	}
	switch c := inner.(type) {
	case *gzipv3.Gzip:
		l.Level = gzipLevel(c.GetCompressionLevel())
		if l.Level > 9 {
			r.add(p+"compression_level", "%d is unknown", c.GetCompressionLevel())
		}
	case *brotliv3.Brotli:
		l.Encoding, l.Level = config.Brotli, within("quality", number(c.GetQuality(), defaultBrotliQuality), 0, 11)
		l.Window = within("window_bits", number(c.GetWindowBits(), defaultBrotliWindow), 10, 24)
	case *zstdv3.Zstd:
		l.Encoding, l.Level, l.Checksum = config.Zstd, within("compression_level", number(c.GetCompressionLevel(), defaultZstdLevel), 1, 22), c.GetEnableChecksum()
	default:
		r.add(path+".typed_config", "%s is not a compressor library that is supported", inner.ProtoReflect().Descriptor().FullName())
	}
	return l
}

// gzipLevel is zlib's level; its default is 6.
func gzipLevel(l gzipv3.Gzip_CompressionLevel) int {
	switch {
	case l == gzipv3.Gzip_DEFAULT_COMPRESSION:
		return 6
	case l == gzipv3.Gzip_BEST_SPEED: // 1, as COMPRESSION_LEVEL_1
		return 1
	}
	return int(l)
}

func compressorRoute(m *compressorv3.CompressorPerRoute) *config.CompressorRoute {
	d := m.GetOverrides().GetResponseDirectionConfig()
	return &config.CompressorRoute{Off: m.GetDisabled(), Response: d != nil, RemoveAccept: optional(d.GetRemoveAcceptEncodingHeader())}
}
