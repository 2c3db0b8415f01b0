// Package trace follows requests from hop to hop: which of them are sampled, what the next hop is told, and the spans that tell of them.
//
// In: the heads of requests, and what package stream learnt of an exchange. Out: headers (W3C trace context, B3), and spans to an OTLP or Zipkin receiver through a
// cluster. Contexts, decisions and spans are values of one worker. An Exporter has a queue per worker, which only that worker touches; a queue is bounded, and what finds no
// room is counted. A request that is not sampled costs no allocation.
package trace
