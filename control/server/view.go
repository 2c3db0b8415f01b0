package server

import (
	"iter"

	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/mesh"
)

// Current is the latest snapshot, nil before the first.
func (d *Server) Current() *mesh.Snapshot { return d.publisher.Current() }

// Objects are those that count, ordered by reference.
func (d *Server) Objects() iter.Seq[*config.Entry] { return d.store.All() }

// Proxies are those that are connected, as NAME.NAMESPACE, ordered.
func (d *Server) Proxies() []string { return d.serve.Connected() }

// Token is the bearer token of the pages that are not for everybody.
func (d *Server) Token() string { return d.web.token }
