package lab

import (
	"os"
	"sync"

	"github.com/heddle-mesh/heddle/data/bpf/redirect"
	"github.com/heddle-mesh/heddle/data/node/capture"
)

// Capture redirects the host's traffic to the ports of a sidecar. HEDDLE_CAPTURE names the way: nftables (the default), iptables or ebpf.
func (h *Host) Capture(s capture.Spec) {
	h.lab.t.Helper()
	way, err := captureWay()
	if err == nil {
		err = h.ns.Do(func() error { return way.Apply(s) })
	}
	if err != nil {
		h.lab.t.Fatal(err)
	}
}

// captureWay is the way of all labs of this process, which holds kernel programs until it ends.
var captureWay = sync.OnceValues(func() (capture.Way, error) {
	switch os.Getenv("HEDDLE_CAPTURE") {
	case "ebpf":
		return redirect.Hold(redirect.Options{})
	case "iptables":
		return capture.IPTables{}, nil
	}
	return capture.NFTables{}, nil
})
