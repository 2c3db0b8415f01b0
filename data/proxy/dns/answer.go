package dns

import (
	"errors"
	"fmt"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	ttl        = 30  // seconds; Istio's
	maxAnswers = 256 // addresses in one answer
	minUDP     = 512 // RFC 1035 section 4.2.1
	maxUDP     = 1232
)

// query is a parsed request.
type query struct {
	header   dnsmessage.Header
	question dnsmessage.Question
	udpSize  int // what the client takes over UDP (RFC 6891 section 6.2.3)
	edns     bool
}

// parseQuery accepts a standard query with one question; others are errors with the header as far as it was read.
func parseQuery(b []byte) (q query, err error) {
	var p dnsmessage.Parser
	if q.header, err = p.Start(b); err != nil {
		return q, fmt.Errorf("parse DNS header: %w", err)
	}
	if q.header.Response {
		return q, fmt.Errorf("parse DNS message %d: it is a response", q.header.ID)
	}
	questions, err := p.AllQuestions()
	if err != nil {
		return q, fmt.Errorf("parse DNS question: %w", err)
	}
	if len(questions) != 1 {
		return q, fmt.Errorf("parse DNS message %d: %d questions, want 1", q.header.ID, len(questions))
	}
	q.question, q.udpSize = questions[0], minUDP
	if p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return q, fmt.Errorf("parse DNS message %d: broken records", q.header.ID)
	}
	for {
		h, err := p.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return q, nil
		}
		if err != nil {
			return q, fmt.Errorf("parse DNS additional record: %w", err)
		}
		if h.Type == dnsmessage.TypeOPT {
			q.edns, q.udpSize = true, min(max(int(h.Class), minUDP), maxUDP)
		}
		if err := p.SkipAdditional(); err != nil {
			return q, fmt.Errorf("parse DNS additional record: %w", err)
		}
	}
}

// respond builds an answer to a question. limit is the size that the transport takes: an answer above it is sent without records and marked as truncated.
func (q *query) respond(code dnsmessage.RCode, r Result, limit int) []byte {
	b, err := q.build(code, r, false)
	if err == nil && len(b) > limit {
		b, err = q.build(code, Result{}, true)
	}
	if err != nil {
		return q.fail(dnsmessage.RCodeServerFailure)
	}
	return b
}

func (q *query) build(code dnsmessage.RCode, r Result, truncated bool) ([]byte, error) {
	b := dnsmessage.NewBuilder(make([]byte, 0, minUDP), dnsmessage.Header{
		ID: q.header.ID, Response: true, OpCode: q.header.OpCode, Authoritative: code == dnsmessage.RCodeSuccess,
		RecursionDesired: q.header.RecursionDesired, RecursionAvailable: true, RCode: code, Truncated: truncated,
	})
	b.EnableCompression()
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(q.question); err != nil {
		return nil, err
	}
	if err := b.StartAnswers(); err != nil {
		return nil, err
	}
	if err := q.answers(&b, r); err != nil {
		return nil, err
	}
	if q.edns {
		if err := b.StartAdditionals(); err != nil {
			return nil, err
		}
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(maxUDP, dnsmessage.RCodeSuccess, false); err != nil {
			return nil, err
		}
		if err := b.OPTResource(h, dnsmessage.OPTResource{}); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

func (q *query) answers(b *dnsmessage.Builder, r Result) error {
	h := dnsmessage.ResourceHeader{Name: q.question.Name, Class: dnsmessage.ClassINET, TTL: ttl}
	if r.Alias != "" {
		target, err := dnsmessage.NewName(r.Alias)
		if err != nil {
			return err
		}
		if err := b.CNAMEResource(h, dnsmessage.CNAMEResource{CNAME: target}); err != nil {
			return err
		}
		h.Name = target
	}
	for _, a := range r.Addresses {
		var err error
		if a.Is4() {
			err = b.AResource(h, dnsmessage.AResource{A: a.As4()})
		} else {
			err = b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: a.As16()})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fail is a bare header with a code, for what cannot be answered otherwise.
func (q *query) fail(code dnsmessage.RCode) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: q.header.ID, Response: true, OpCode: q.header.OpCode, RecursionDesired: q.header.RecursionDesired, RCode: code})
	out, err := b.Finish()
	if err != nil {
		return nil
	}
	return out
}
