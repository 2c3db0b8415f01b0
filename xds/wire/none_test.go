package wire

import (
	"iter"
	"time"

	"github.com/heddle-mesh/heddle/xds"
)

var at = time.Unix(1, 0)

// none is a source without resources.
type none struct{}

func (none) Names(string) iter.Seq[string]           { return func(func(string) bool) {} }
func (none) Resource(xds.Name) (*xds.Resource, bool) { return nil, false }
