// Package clients asks through heddle-proxy with programs that others have written: curl, wrk, h2load, Node's http2, Java's HttpClient, Python's httpx.
//
// In: whichever of them are on this machine; the others are skipped, with the reason. Out: whether each gets what it asked for, in HTTP/1.1 and HTTP/2, in clear and over TLS.
package clients
