package config

import (
	"time"

	"github.com/heddle-mesh/heddle/telemetry"
	"github.com/heddle-mesh/heddle/telemetry/attribute"
)

// Metrics is stats.PluginConfig (istio.io/api/envoy/extensions/stats): what is different about Istio's standard metrics.
type Metrics struct {
	Plan *telemetry.Plan // nil for the standard
	// Expressions are those of the plan, in its order; nil for one that the proxy cannot evaluate.
	Expressions []*attribute.Expression
	Interval    time.Duration // between two reports of what goes on; 0 for the proxy's own
}
