package compress

import (
	"bytes"
	"strconv"
)

// offer is a compressor that could compress a response, in the order of the filter chain.
type offer struct {
	encoding string
	first    bool // choose_first
}

const (
	identity = "identity"
	wildcard = "*"
)

// choose finds what a client likes best (RFC 9110 section 12.5.3): the encoding with the highest weight, among equals one with choose_first, else the one that the client names
// first. "" is none that is offered.
func choose(accept []byte, offers []offer) string {
	best, weight := offer{}, 0.0
	for item := range bytes.SplitSeq(accept, []byte(",")) {
		name, q := parse(item)
		if o, ok := find(name, offers); ok && q > 0 && (q > weight || q == weight && o.first && !best.first) {
			best, weight = o, q
		}
	}
	if best.encoding == identity {
		return ""
	}
	return best.encoding
}

// find is what a word of accept-encoding stands for.
func find(name []byte, offers []offer) (found offer, ok bool) {
	if string(name) == identity {
		return offer{encoding: identity}, true
	}
	for _, o := range offers {
		if string(name) == o.encoding {
			return o, true
		}
		if string(name) == wildcard && !ok {
			found, ok = o, true
		}
	}
	return found, ok
}

// refused says whether a client wants nothing of an encoding (q=0), by its name or by the wildcard.
func refused(accept []byte, encoding string) bool {
	all := false
	for item := range bytes.SplitSeq(accept, []byte(",")) {
		name, q := parse(item)
		switch {
		case string(name) == encoding:
			return q == 0
		case string(name) == wildcard && q == 0:
			all = true
		}
	}
	return all
}

// parse reads NAME[;q=WEIGHT]. What is no weight counts as 0, as for Envoy.
func parse(item []byte) (name []byte, q float64) {
	name, params, found := bytes.Cut(item, []byte(";"))
	name, q = bytes.TrimSpace(name), 1
	if !found {
		return name, q
	}
	if key, value, ok := bytes.Cut(params, []byte("=")); ok && bytes.EqualFold(bytes.TrimSpace(key), []byte("q")) {
		q, _ = strconv.ParseFloat(string(bytes.TrimSpace(value)), 64)
	}
	return name, q
}
