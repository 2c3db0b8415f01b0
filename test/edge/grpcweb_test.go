package edge

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/test/pair"
)

const grpcWebFilter = `
- name: envoy.filters.http.grpc_web
  typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb}`

// message is a gRPC message on the wire.
func message(flags byte, text string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(text)))
	return append(b, text...)
}

// grpcEcho is a gRPC server by hand: it answers every message with the same, and tells in trailers what it saw.
var grpcEcho = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	saw := fmt.Sprintf("%s te=%s accept=%s length=%d", r.Header.Get("Content-Type"), r.Header.Get("Te"), r.Header.Get("Grpc-Accept-Encoding"), r.ContentLength)
	switch r.URL.Path {
	case "/only-trailers":
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "5")
		w.Header().Set("Grpc-Message", "none")
		w.WriteHeader(200)
		return
	case "/plain":
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(500)
		fmt.Fprint(w, "broken")
		return
	}
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message, X-Saw")
	w.WriteHeader(200)
	for {
		head := make([]byte, 5)
		if _, err := io.ReadFull(r.Body, head); err != nil {
			break
		}
		text := make([]byte, binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(r.Body, text); err != nil {
			break
		}
		_, _ = w.Write(append(head, text...))
		w.(http.Flusher).Flush()
	}
	w.Header().Set("Grpc-Status", "0")
	w.Header().Set("Grpc-Message", "fine%20so far")
	w.Header().Set("X-Saw", saw)
})

// frames undoes the text form, where it is one, and parts a body into its messages; trailers are sorted into one line.
func frames(t *testing.T, kind string, b []byte) (out []string) {
	t.Helper()
	if strings.Contains(kind, "-text") {
		var plain []byte
		for len(b) >= 4 { // several encodings one after the other
			var three [3]byte
			n, err := base64.StdEncoding.Decode(three[:], b[:4])
			must(t, err)
			plain, b = append(plain, three[:n]...), b[4:]
		}
		if len(b) > 0 {
			t.Fatalf("%q is left of the text", b)
		}
		b = plain
	}
	for len(b) >= 5 {
		n := binary.BigEndian.Uint32(b[1:])
		if int(n)+5 > len(b) {
			return append(out, fmt.Sprintf("broken %q", b))
		}
		text := string(b[5 : 5+n])
		if b[0]&0x80 != 0 {
			lines := strings.Split(strings.TrimSuffix(text, "\r\n"), "\r\n")
			sorted := map[string]bool{}
			for _, l := range lines {
				sorted[l] = true
			}
			text = fmt.Sprint(sorted)
		}
		out, b = append(out, fmt.Sprintf("%#x %s", b[0], text)), b[5+n:]
	}
	if len(b) > 0 {
		out = append(out, fmt.Sprintf("rest %q", b))
	}
	return out
}

func TestGRPCWeb(t *testing.T) {
	one, two := message(0, "hello"), append(message(0, "first message"), message(0, strings.Repeat("long ", 20_000))...)
	text := func(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
	const bin, txt = "application/grpc-web+proto", "application/grpc-web-text"
	cases := map[string]struct{ path, kind, accept, body string }{
		"binary":             {"/echo", bin, bin, string(one)},
		"binary short name":  {"/echo", "application/grpc-web", "", string(one)},
		"binary two":         {"/echo", bin, bin, string(two)},
		"text":               {"/echo", txt, txt, text(one)},
		"text two":           {"/echo", txt + "+proto", txt + "+proto", text(two)},
		"not gRPC":           {"/plain", bin, bin, string(one)},
		"not gRPC, text":     {"/plain", txt, txt, text(one)},
		"text, binary back":  {"/echo", txt, bin, text(one)},
		"binary, text back":  {"/echo", bin, txt, string(one)},
		"empty":              {"/echo", bin, bin, ""},
		"bad base64":         {"/echo", txt, txt, "****"},
		"cut base64":         {"/echo", txt, txt, text(one)[:5]},
		"only trailers":      {"/only-trailers", bin, bin, string(one)},
		"only trailers text": {"/only-trailers", txt, txt, text(one)},
		"gRPC itself":        {"/echo", "application/grpc", "", string(one)},
		"other":              {"/plain", "text/plain", "", "x"},
		"no route":           {"/nowhere", bin, bin, string(one)},
		"no route text":      {"/nowhere", txt, txt, text(one)},
		"charset":            {"/echo", bin + "; charset=utf-8", bin, string(one)},
		"capitals":           {"/echo", "application/gRPC-Web", bin, string(one)},
	}
	f := file{filters: grpcWebFilter, http2: true, routes: "[{match: {path: /echo}, route: {cluster: app}}, {match: {path: /plain}, route: {cluster: app}}, {match: {path: /only-trailers}, route: {cluster: app}}]"}
	agree(t, f, grpcEcho, func(t *testing.T, p *pair.Proxy, note func(name, answer string)) {
		for name, tt := range cases {
			req, err := http.NewRequest("POST", "http://"+p.Address("front")+tt.path, bytes.NewReader([]byte(tt.body)))
			must(t, err)
			req.Header.Set("Content-Type", tt.kind)
			if tt.accept != "" {
				req.Header.Set("Accept", tt.accept)
			}
			resp, err := (&http.Transport{DisableKeepAlives: true, DisableCompression: true}).RoundTrip(req)
			must(t, err)
			b, err := io.ReadAll(resp.Body)
			must(t, err)
			_ = resp.Body.Close()
			kind := resp.Header.Get("Content-Type")
			said := fmt.Sprintf("%q", b)
			if strings.Contains(kind, "grpc") {
				said = fmt.Sprintf("%.200q", frames(t, kind, b))
			}
			note(name, fmt.Sprintf("%d %s status %q message %q: %s", resp.StatusCode, kind, resp.Header.Get("Grpc-Status"), resp.Header.Get("Grpc-Message"), said))
		}
	})
}
