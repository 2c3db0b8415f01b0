package mesh

import "strings"

// protocolWords are the words of Istio's protocol selection, in lower case.
var protocolWords = map[string]Protocol{
	"tcp": TCP, "udp": UDP, "tls": TLS, "http": HTTP, "https": HTTPS, "http2": HTTP2, "grpc": GRPC, "grpc-web": GRPCWeb,
	"mongo": Mongo, "mysql": MySQL, "redis": Redis,
}

// ParseProtocol reads a protocol's word in any case; false when Istio has no such word.
func ParseProtocol(word string) (Protocol, bool) {
	p, ok := protocolWords[strings.ToLower(word)]
	return p, ok
}

// appProtocols are values of Service.spec.ports.appProtocol besides the plain words (Kubernetes' standard names).
var appProtocols = map[string]Protocol{"kubernetes.io/h2c": HTTP2, "kubernetes.io/ws": HTTP, "kubernetes.io/wss": HTTPS}

// serverFirst are ports where the server speaks first, so nothing can be detected: SMTP, DNS, MySQL, MongoDB (Istio's list).
var serverFirst = map[uint16]bool{25: true, 53: true, 3306: true, 27017: true}

// SelectProtocol is Istio's explicit protocol selection for a port of a Kubernetes Service: appProtocol first, then the port's name up to the first dash.
// transport is the Service's protocol field.
func SelectProtocol(number uint16, transport, name, appProtocol string) Protocol {
	if transport == "UDP" {
		return UDP
	}
	if p, ok := appProtocols[strings.ToLower(appProtocol)]; ok {
		return p
	}
	if p, ok := ParseProtocol(appProtocol); ok {
		return p
	}
	lower := strings.ToLower(name)
	if strings.HasPrefix(lower, "grpc-web") {
		return GRPCWeb
	}
	word, _, _ := strings.Cut(lower, "-")
	if p, ok := ParseProtocol(word); ok {
		return p
	}
	if serverFirst[number] {
		return TCP
	}
	return Auto
}
