package web

import (
	"compress/gzip"
	"net/http"
	"strings"
)

// compressed shrinks answers for clients that take gzip: a graph of 5,000 edges is some megabytes.
func compressed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Add("Vary", "Accept-Encoding")
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") || r.Method == http.MethodHead {
			next.ServeHTTP(rw, r)
			return
		}
		z := &zipped{ResponseWriter: rw}
		defer z.close()
		next.ServeHTTP(z, r)
	})
}

// zipped begins to compress with the first byte of a body, so that answers without one stay as they are.
type zipped struct {
	http.ResponseWriter
	w    *gzip.Writer
	code int
}

// WriteHeader waits for the body.
func (z *zipped) WriteHeader(code int) {
	if z.code == 0 {
		z.code = code
	}
}

// Write satisfies io.Writer.
func (z *zipped) Write(b []byte) (int, error) {
	if z.w == nil {
		h := z.Header()
		h.Set("Content-Encoding", "gzip")
		h.Del("Content-Length")
		z.tell()
		z.w, _ = gzip.NewWriterLevel(z.ResponseWriter, gzip.BestSpeed)
	}
	return z.w.Write(b)
}

func (z *zipped) tell() {
	if z.code != 0 {
		z.ResponseWriter.WriteHeader(z.code)
	}
}

func (z *zipped) close() {
	if z.w == nil {
		z.tell()
		return
	}
	_ = z.w.Close()
}
