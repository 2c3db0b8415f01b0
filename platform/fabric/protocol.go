// Package fabric runs processes in network namespaces that are joined by a bridge, for a mesh on one machine without Kubernetes.
//
// In: commands over one unix socket from the supervisor. Out: namespaces, processes and their exits. The fabric is a process of its own
// (in its own network and process namespaces, and in its own user namespace when the supervisor is not root), so that killing it, by
// whatever means, leaves no process, namespace or rule behind. A plain fabric has no namespaces: its processes share the network of the host,
// and it ends all of them before itself. A Client may be used by several goroutines; Serve owns its process.
package fabric

import (
	"net/netip"
	"os"

	"github.com/heddle-mesh/heddle/data/node/capture"
)

// The name and gateways of the bridge. Workloads get addresses from these prefixes.
const bridge = "heddle0"

var (
	// IPv4 and IPv6 are the prefixes of the bridge; the first address of each is the bridge's own.
	IPv4 = netip.MustParsePrefix("10.78.0.1/16")
	IPv6 = netip.MustParsePrefix("fd78:6864::1/64")
)

// Process describes what to start in a namespace.
type Process struct {
	ID        string   // unique while it runs
	Namespace string   // "" is the fabric's own
	Path      string   // absolute
	Open      bool     // the fabric opens the program itself: it starts even when UID may not enter the folders that lead to it
	Args      []string // without the program's name
	Env       []string // whole environment
	Dir       string
	UID       int // -1: the fabric's own user
	// Files become descriptors 0, 1, 2, 3 and so on; the caller keeps its own.
	Files []*os.File `json:"-"`
}

// Exit tells that a process ended. Signal is 0 unless one killed it.
type Exit struct {
	ID     string
	Code   int
	Signal int
}

// request is one message to the fabric; exactly one of the pointers is set.
type request struct {
	Seq       uint64
	Namespace *namespaceRequest `json:",omitempty"`
	Remove    string            `json:",omitempty"`
	Start     *Process          `json:",omitempty"`
	Signal    *signalRequest    `json:",omitempty"`
	Listening *listeningRequest `json:",omitempty"`
	Datagrams *datagramsRequest `json:",omitempty"`
	End       bool              `json:",omitempty"`
}

type namespaceRequest struct {
	Name      string
	Addresses []netip.Prefix
	Capture   *capture.Spec
}

type signalRequest struct {
	ID     string
	Signal int
}

type listeningRequest struct {
	Namespace string
	Port      uint16
}

type datagramsRequest struct{ Namespace, Address string }

// reply answers a request, or (Seq 0) tells of an exit. The first one, without a request, says whether the fabric works.
type reply struct {
	Seq   uint64
	Error string `json:",omitempty"`
	PID   int    `json:",omitempty"`
	Exit  *Exit  `json:",omitempty"`
	// Addresses answer a listeningRequest.
	Addresses []netip.Addr `json:",omitempty"`
	// files come beside the message, and answer a datagramsRequest.
	files []*os.File
}
