package stream

// Verdict is what a filter says of an exchange.
type Verdict uint8

// The verdicts.
const (
	// Continue goes on with the next filter.
	Continue Verdict = iota
	// Responded says that the filter has replied by Exchange.Reply.
	Responded
	// Wait says that the filter calls Exchange.Resume, or Reply, later.
	Wait
)

// Filter looks at requests in the order of the configuration. It is shared by all workers and must not change.
type Filter interface {
	Request(x *Exchange) Verdict
}

// ResponseFilter is a Filter that looks at responses too, in the opposite order; local replies included.
type ResponseFilter interface {
	Filter
	Response(x *Exchange)
}

// note is what a filter keeps of an exchange.
type note struct {
	by   Filter
	what any
}

// Note keeps something for the filter, from its Request to its Response.
func (x *Exchange) Note(by Filter, what any) { x.notes = append(x.notes, note{by, what}) }

// Noted is what the filter kept, nil for nothing.
func (x *Exchange) Noted(by Filter) any {
	for i := range x.notes {
		if x.notes[i].by == by {
			return x.notes[i].what
		}
	}
	return nil
}

// Reporter hears of exchanges: telemetry. It must not keep x.
type Reporter interface {
	Finished(x *Exchange)
	// Talking is called now and then while a stream of gRPC goes on; Exchange.Messages says what has come.
	Talking(x *Exchange)
}
