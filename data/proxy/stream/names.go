package stream

import (
	"strconv"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// LookUp finds where the request's host is; done is not called when the exchange ends before. Without a port the host is asked at the one of the cluster's transport.
func (x *Exchange) LookUp(names *config.Names, done func(loop.Address, error)) {
	name, text := splitHost(x.Request.Authority())
	port := uint16(80)
	if d := x.cluster.Config(); d.TLS != nil {
		port = 443
	}
	if text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			n = 0 // which is none
		}
		port = uint16(n)
	}
	over := false
	cancel := x.w.Pools.Look(x.cluster, names, string(name), port, func(at loop.Address, err error) {
		over = true
		x.giveUpName = nil
		done(at, err)
	})
	if !over {
		x.giveUpName = cancel
	}
}

// Name says where the request's host is.
func (x *Exchange) Name(at loop.Address) { x.need.Named = at }
