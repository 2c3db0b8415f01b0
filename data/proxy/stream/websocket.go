package stream

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

var (
	webSocketKey    = codec.MakeName("sec-websocket-key")
	webSocketAccept = codec.MakeName("sec-websocket-accept")
	webSocket       = []byte("websocket")
)

// keyed gives a WebSocket that was asked for in HTTP/2 the key that HTTP/1.1 asks for (RFC 8441 section 5: in HTTP/2 there is none). It only has to differ from others; the
// answer to it is for us.
func (x *Exchange) keyed() {
	h := &x.Request
	if v, _ := h.Value(codec.Upgrade); !bytes.EqualFold(v, webSocket) || h.Has(webSocketKey) || x.down.protocol() != "HTTP/2" {
		return
	}
	var nonce [16]byte
	binary.NativeEndian.PutUint64(nonce[:8], x.w.Loop.Rand())
	binary.NativeEndian.PutUint64(nonce[8:], x.w.Loop.Rand())
	h.SetString(webSocketKey, base64.StdEncoding.EncodeToString(nonce[:]))
	x.ownKey = true
}
