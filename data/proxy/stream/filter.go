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

// Reporter hears of exchanges: telemetry. It must not keep x.
type Reporter interface {
	Finished(x *Exchange)
	// Talking is called now and then while a stream of gRPC goes on; Exchange.Messages says what has come.
	Talking(x *Exchange)
}
