// Package smuggling holds a corpus of attacks on the agreement between a proxy and what is behind it, and the test that sends them.
//
// In: testdata/*.txt, one attack a line, written in escapes; heddle-proxy and stock Envoy with the same bootstrap file; upstreams that keep every byte. Out: for each attack,
// whether front and back saw the same requests, and whether policy judged what the upstream parsed. testdata/differences.txt explains where Envoy does otherwise.
package smuggling
