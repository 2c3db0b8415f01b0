package health

import (
	"bytes"
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/filter/headers"
)

// grpcProbe asks grpc.health.v1.Health.
type grpcProbe struct {
	s       *session
	call    *call
	content []byte
	fine    bool // so far the answer is one of gRPC, with status 0
}

// begin implements probe.
func (p *grpcProbe) begin() {
	k := p.s.c.config.GRPC
	p.content, p.fine = p.content[:0], false
	p.call = &call{s: p.s, answer: p, body: framed(k.Service)}
	h := &p.call.head
	newRequest(h, p.s, "POST", "/grpc.health.v1.Health/Check", k.Authority)
	h.SetString(codec.ContentType, "application/grpc")
	h.SetString(codec.TE, "trailers")
	codec.SetGRPCTimeout(h, p.s.c.config.Timeout)
	headers.Request(h, &k.Metadata, p.s.record)
	p.call.ask(true)
}

// cancel implements probe.
func (p *grpcProbe) cancel() {
	if p.call != nil {
		p.call.cancel()
	}
}

// framed is a HealthCheckRequest as a message of gRPC: not compressed, its length, itself.
func framed(service string) []byte {
	var m []byte
	if service != "" {
		m = protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), service)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...)
}

// mostAnswer bounds what is kept of an answer: a HealthCheckResponse has a few bytes.
const mostAnswer = 1 << 10

func (p *grpcProbe) heard(h *codec.Head) {
	t, _ := h.Value(codec.ContentType)
	p.fine = h.Status == 200 && bytes.HasPrefix(t, []byte("application/grpc"))
	p.ok(&h.Fields, false)
}

// ok looks at the status, which must be there at the end.
func (p *grpcProbe) ok(f *codec.Fields, must bool) {
	v, there := f.Value(codec.GRPCStatus)
	p.fine = p.fine && (string(v) == "0" || !there && !must)
}

func (p *grpcProbe) body(b []byte) {
	p.content = append(p.content, b[:min(len(b), mostAnswer-len(p.content))]...)
}

func (p *grpcProbe) trailers(t *codec.Fields) { p.ok(t, true) }

func (p *grpcProbe) done() {
	o := failed
	if p.fine && serving(p.content) {
		o = passed
	}
	p.s.report(o, false)
}

// serving says whether a message is a HealthCheckResponse with the status SERVING.
func serving(b []byte) bool {
	if len(b) < 5 || b[0] != 0 || int(binary.BigEndian.Uint32(b[1:5])) != len(b)-5 {
		return false
	}
	status := uint64(0)
	for b = b[5:]; len(b) > 0; {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		if num == 1 && typ == protowire.VarintType {
			status, n = protowire.ConsumeVarint(b)
		} else {
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return false
		}
		b = b[n:]
	}
	return status == 1
}
