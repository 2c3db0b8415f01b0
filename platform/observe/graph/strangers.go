package graph

// little is the share below which what is left of strangers is only that rates of two proxies never agree to the last digit.
const little = .2

// strangers takes from the traffic of unknown callers what clients' proxies tell of too: over TCP a server's proxy is not told who calls, so that one edge would be two. Those
// of a target's edges that only the client told of are that traffic; how it was secured is what the server saw.
func (b *builder) strangers() {
	keys := b.keys()
	onlyClients := map[[2]string][]*edge{} // by target and protocol
	for _, k := range keys {
		if e := b.edges[k]; e.toldSource && e.byDestination.empty() {
			onlyClients[[2]string{k.target, k.protocol}] = append(onlyClients[[2]string{k.target, k.protocol}], e)
		}
	}
	for _, key := range keys {
		e := b.edges[key]
		if b.nodes[key.source].Kind != KindUnknown || e.toldSource {
			continue
		}
		met, told, measure := onlyClients[[2]string{key.target, key.protocol}], 0.0, e.byDestination.measure()
		for _, other := range met {
			told += measure(&other.bySource)
		}
		all := measure(&e.byDestination)
		if len(met) == 0 || all == 0 {
			continue
		}
		for _, other := range met {
			other.byDestination.secure, other.byDestination.looked = e.byDestination.secure, e.byDestination.looked
		}
		if left := 1 - told/all; left < little {
			delete(b.edges, key)
		} else {
			e.byDestination.scale(left)
		}
	}
}

// measure is by what sums are compared: requests, or else connections, or else bytes.
func (s *sums) measure() func(*sums) float64 {
	switch {
	case s.rate > 0:
		return func(s *sums) float64 { return s.rate }
	case s.opened > 0:
		return func(s *sums) float64 { return s.opened }
	}
	return func(s *sums) float64 { return s.requestBytes + s.responseBytes }
}

// scale makes less of everything.
func (s *sums) scale(f float64) {
	for _, x := range []*float64{&s.rate, &s.requestBytes, &s.responseBytes, &s.opened} {
		*x *= f
	}
	for i := range s.looked {
		s.secure[i] *= f
		s.looked[i] *= f
	}
	for _, r := range []Rates{s.codes, s.grpc, s.flags} {
		for k := range r {
			r[k] *= f
		}
	}
}
