// Package wire turns requests into session terms and responses into bytes, so that a resource's bytes go by reference to the transport and are never encoded again.
//
// In: discovery requests as generated types, and session.Response. Out: session.Request, and gRPC buffers. Everything is safe for concurrent use.
package wire

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/session"
)

// small is the size up to which copying a body beside its frame is cheaper than a buffer of its own.
const small = 1 << 10

// Codec is gRPC's protobuf codec that also sends *session.Response. Use it with grpc.ForceServerCodecV2; other messages are encoded as ever.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2(proto.Name)} }

type codec struct{ encoding.CodecV2 }

// Marshal encodes a *session.Response by hand, with the bodies by reference, and all else by reflection.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	r, ok := v.(*session.Response)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	for _, x := range r.Resources {
		if x.Body == nil {
			return nil, fmt.Errorf("encode response: the bytes of %s are not known", x.Name)
		}
	}
	if r.Mode == session.Delta {
		return encodeDelta(r), nil
	}
	return encodeWorld(r), nil
}

// The field numbers of envoy.service.discovery.v3.
const (
	deltaVersion, deltaResources, deltaType, deltaNonce, deltaRemoved = 1, 2, 4, 5, 6 // DeltaDiscoveryResponse
	worldVersion, worldResources, worldType, worldNonce               = 1, 2, 4, 5    // DiscoveryResponse
	resourceVersion, resourceAny, resourceName                        = 1, 2, 3       // Resource
	anyType, anyValue                                                 = 1, 2          // google.protobuf.Any
)

// assembly is one message: small parts in a scratch of known size, large bodies by reference.
type assembly struct {
	out     mem.BufferSlice
	scratch []byte
	from    int // start of the part of scratch that is not in out yet
}

func (a *assembly) text(field protowire.Number, s string) {
	if s == "" {
		return
	}
	a.scratch = protowire.AppendTag(a.scratch, field, protowire.BytesType)
	a.scratch = protowire.AppendString(a.scratch, s)
}

func (a *assembly) open(field protowire.Number, size int) {
	a.scratch = protowire.AppendTag(a.scratch, field, protowire.BytesType)
	a.scratch = protowire.AppendVarint(a.scratch, uint64(size))
}

func (a *assembly) body(p []byte) {
	if len(p) <= small {
		a.scratch = append(a.scratch, p...)
		return
	}
	a.cut()
	a.out = append(a.out, mem.SliceBuffer(p))
}

func (a *assembly) cut() {
	if len(a.scratch) > a.from {
		a.out = append(a.out, mem.SliceBuffer(a.scratch[a.from:len(a.scratch):len(a.scratch)]))
		a.from = len(a.scratch)
	}
}

// field is the size of a length-delimited field of n bytes; every field number here takes one byte.
func field(n int) int { return 1 + protowire.SizeBytes(n) }

// fieldOf is the size of a string field, which is left out when empty.
func fieldOf(s string) int {
	if s == "" {
		return 0
	}
	return field(len(s))
}

func anySize(r *xds.Resource) int { return fieldOf(r.Name.TypeURL) + field(len(r.Body)) }

func (a *assembly) any(r *xds.Resource) {
	a.text(anyType, r.Name.TypeURL)
	a.open(anyValue, len(r.Body))
	a.body(r.Body)
}

// start sizes the scratch, so that it never grows: parts of it are referred to.
func start(overhead int, resources []*xds.Resource) *assembly {
	for _, r := range resources {
		overhead += 4*(1+10) + len(r.Name.TypeURL) + len(r.Name.Name) + len(r.Version) + 11
		if len(r.Body) <= small {
			overhead += len(r.Body)
		}
	}
	return &assembly{scratch: make([]byte, 0, overhead)}
}

func encodeDelta(r *session.Response) mem.BufferSlice {
	overhead := 64 + len(r.Version) + len(r.TypeURL) + len(r.Nonce)
	for _, name := range r.Removed {
		overhead += len(name) + 11
	}
	a := start(overhead, r.Resources)
	a.text(deltaVersion, r.Version)
	for _, x := range r.Resources {
		inner := anySize(x)
		a.open(deltaResources, fieldOf(x.Version)+field(inner)+fieldOf(x.Name.Name))
		a.text(resourceVersion, x.Version)
		a.text(resourceName, x.Name.Name)
		a.open(resourceAny, inner)
		a.any(x)
	}
	a.text(deltaType, r.TypeURL)
	a.text(deltaNonce, r.Nonce)
	for _, name := range r.Removed {
		a.text(deltaRemoved, name)
	}
	a.cut()
	return a.out
}

func encodeWorld(r *session.Response) mem.BufferSlice {
	a := start(64+len(r.Version)+len(r.TypeURL)+len(r.Nonce), r.Resources)
	a.text(worldVersion, r.Version)
	for _, x := range r.Resources {
		a.open(worldResources, anySize(x))
		a.any(x)
	}
	a.text(worldType, r.TypeURL)
	a.text(worldNonce, r.Nonce)
	a.cut()
	return a.out
}
