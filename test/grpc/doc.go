// Package grpc runs the interoperability suite of gRPC between implementations in several languages, through two heddle-proxies in a row.
//
// In: the suite's own client and server in Java, one of each in Node.js written here on grpc-js, and those of Go; fetch.sh gets the libraries. Out: one subtest for each case. A
// language whose runtime or libraries are missing is skipped.
package grpc
