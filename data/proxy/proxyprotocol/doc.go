// Package proxyprotocol reads and writes the header by which a proxy tells the next one who its client was: HAProxy's PROXY protocol, versions 1 and 2.
//
// In: the first bytes of a connection and what a listener allows, or the two ends of a client's connection. Out: those ends and the length of the header, or the header.
// Pure; nothing is allocated.
package proxyprotocol
