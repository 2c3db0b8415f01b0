// Command coredns is CoreDNS with the plugins that the suite's manifests name, and no others.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/whoami"
)

func main() {
	// The order in which a query meets them.
	dnsserver.Directives = []string{"log", "errors", "whoami", "forward"}
	coremain.Run()
}
