package graph

import (
	"maps"
	"slices"

	"github.com/heddle-mesh/heddle/telemetry"
)

// sums are rates per second that are added up.
type sums struct {
	rate, requestBytes, responseBytes, opened float64
	// secure of looked: requests, connections and bytes of connections whose security a server's proxy told.
	secure, looked     [3]float64
	codes, grpc, flags Rates
}

func (s *sums) request(x sample) {
	s.rate += x.value
	code := x.labels.get("response_code")
	if code == "" || code == "0" {
		code = noResponse
	}
	s.codes = s.codes.add(code, x.value)
	if protocol(x.labels) == "grpc" {
		if status := x.labels.get("grpc_response_status"); status != "" {
			s.grpc = s.grpc.add(status, x.value)
		}
	}
	s.flag(x)
	s.look(0, x)
}

func (s *sums) connection(x sample) {
	s.opened += x.value
	s.flag(x)
	s.look(1, x)
}

// stream is for connections that stay open over the whole window.
func (s *sums) stream(x sample) { s.look(2, x) }

func (s *sums) flag(x sample) {
	if f := x.labels.get("response_flags"); f != "" && f != telemetry.NoFlags {
		s.flags = s.flags.add(f, x.value)
	}
}

func (s *sums) look(i int, x sample) {
	switch x.labels.get("connection_security_policy") {
	case telemetry.MutualTLS:
		s.secure[i] += x.value
		s.looked[i] += x.value
	case telemetry.Plaintext:
		s.looked[i] += x.value
	}
}

func (s *sums) empty() bool {
	return s.rate == 0 && s.requestBytes == 0 && s.responseBytes == 0 && s.opened == 0
}

func (s *sums) plus(o *sums) {
	s.rate += o.rate
	s.requestBytes += o.requestBytes
	s.responseBytes += o.responseBytes
	s.opened += o.opened
	for i := range s.looked {
		s.secure[i] += o.secure[i]
		s.looked[i] += o.looked[i]
	}
	s.codes, s.grpc, s.flags = s.codes.plus(o.codes), s.grpc.plus(o.grpc), s.flags.plus(o.flags)
}

// traffic says it in shares.
func (s *sums) traffic() Traffic {
	t := Traffic{Rate: s.rate, Request: s.requestBytes, Response: s.responseBytes, Connections: s.opened, Codes: s.codes.some(), GRPC: s.grpc.some(), Flags: s.flags.some()}
	for i, all := range s.looked { // requests say more than connections, and those more than bytes
		if all > 0 {
			secure := s.secure[i] / all
			t.MTLS = &secure
			break
		}
	}
	if s.rate == 0 {
		return t
	}
	for _, c := range s.codes.keys() {
		switch n := s.codes[c]; {
		case c == noResponse || c[0] == '5':
			t.ErrorRate += n / s.rate
		case c[0] == '4':
			t.ClientErrors += n / s.rate
		}
	}
	for _, c := range s.grpc.keys() {
		if c != "0" {
			t.ErrorRate += s.grpc[c] / s.rate
		}
	}
	t.ErrorRate = min(1, t.ErrorRate) // a call of gRPC may have failed in both ways
	return t
}

func (r Rates) keys() []string { return slices.Sorted(maps.Keys(r)) }

func (r Rates) add(key string, x float64) Rates {
	if r == nil {
		r = Rates{}
	}
	r[key] += x
	return r
}

func (r Rates) plus(o Rates) Rates {
	for _, k := range o.keys() {
		r = r.add(k, o[k])
	}
	return r
}

// some are those that are not zero.
func (r Rates) some() Rates {
	out := Rates{}
	for k, x := range r {
		if x > 0 {
			out[k] = x
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
