package admin

import (
	"bytes"
	"compress/flate"
	"io"

	"google.golang.org/protobuf/proto"
)

// Packed is an encoded message that is kept only to be shown: a tenth of its size.
type Packed []byte

// Pack encodes a message.
func Pack(m proto.Message) (Packed, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	return bytes.Clone(out.Bytes()), err
}

func (p Packed) unpack(m proto.Message) error {
	b, err := io.ReadAll(flate.NewReader(bytes.NewReader(p)))
	if err != nil {
		return err
	}
	return proto.Unmarshal(b, m)
}
