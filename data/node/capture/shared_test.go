package capture_test

import (
	"testing"

	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/data/node/capturetest"
)

// TestSharedTable is the table that ways outside of this package answer, too.
func TestSharedTable(t *testing.T) {
	for _, w := range capture.Ways {
		t.Run(w.String(), func(t *testing.T) {
			t.Run("out", func(t *testing.T) { capturetest.Outbound(t, w) })
			t.Run("in", func(t *testing.T) { capturetest.Inbound(t, w) })
			if w == (capture.IPTables{}) {
				return // it says that it cannot: TestIPTablesRefuseDatagrams
			}
			t.Run("datagrams", func(t *testing.T) { capturetest.Datagrams(t, w) })
		})
	}
}
