package xds

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/proto"
)

// Resource is one compiled and encoded resource. It is immutable; every stream that must have it shares the pointer and the bytes.
type Resource struct {
	Name    Name
	Version string   // hash of Body: the same on every replica and after every restart of one build
	Body    []byte   // the encoded message: the value of the Any that goes on the wire; nil means that only the version is known
	Origins []string // the user's objects that it came from, KIND/NAMESPACE/NAME; a rejection is reported to them

	// Claims are what only one resource of the type may hold at a time, such as a virtual host's ROUTE/DOMAIN or a listener's address. A resource that takes a
	// claim over travels in the same response as the removal (or the change) of the one that held it. Without claims every removal of the type travels so.
	Claims []string
	// Needs are the resources that a client warms this one on: a cluster's endpoints, if their name is not the cluster's. They are sent again behind it.
	Needs []Name
}

// New encodes a message deterministically and names its bytes by their hash.
func New(name Name, message proto.Message, origins ...string) (*Resource, error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	return FromBytes(name, body, origins...), nil
}

// FromBytes makes a resource from deterministically encoded bytes, which must not change afterwards. An empty message has empty, not nil, bytes.
func FromBytes(name Name, body []byte, origins ...string) *Resource {
	if body == nil {
		body = []byte{}
	}
	return &Resource{Name: name, Version: Version(body), Body: body, Origins: origins}
}

// Version is the hash that names a resource's bytes: 16 hexadecimal digits of SHA-256.
func Version(body []byte) string {
	sum := sha256.Sum256(body)
	var text [16]byte
	hex.Encode(text[:], sum[:8])
	return string(text[:])
}
