package query

import (
	"context"
	"fmt"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/heddle-mesh/heddle/platform/observe/store"
)

// version is that of Prometheus for a version of its Go module: v0.313.5 is 3.13.5.
func version(module string) string {
	var thousands, patch int
	if n, err := fmt.Sscanf(strings.TrimPrefix(module, "v"), "0.%d.%d", &thousands, &patch); err != nil || n != 2 {
		return "3.0.0" // a test's binary knows no versions; what matters to clients is the major one
	}
	return fmt.Sprintf("%d.%d.%d", thousands/100, thousands%100, patch)
}

// admin tells of a store, and changes nothing in it.
type admin struct{ *store.Store }

// errReadOnly is never seen: the paths that would lead here answer that administration is off.
var errReadOnly = fmt.Errorf("the store is not administrated by its API")

// CleanTombstones satisfies v1.TSDBAdminStats.
func (admin) CleanTombstones() error { return errReadOnly }

// Delete satisfies v1.TSDBAdminStats.
func (admin) Delete(context.Context, int64, int64, ...*labels.Matcher) error { return errReadOnly }

// Snapshot satisfies v1.TSDBAdminStats.
func (admin) Snapshot(string, bool) error { return errReadOnly }

// Stats satisfies v1.TSDBAdminStats.
func (a admin) Stats(label string, limit int) (*tsdb.Stats, error) {
	return a.Head().Stats(label, limit), nil
}

// BlockMetas satisfies v1.TSDBAdminStats.
func (a admin) BlockMetas() ([]tsdb.BlockMeta, error) { return a.Store.BlockMetas(), nil }

// WALReplayStatus satisfies v1.TSDBAdminStats: the log has been read before anything is served.
func (admin) WALReplayStatus() (tsdb.WALReplayStatus, error) { return tsdb.WALReplayStatus{}, nil }
