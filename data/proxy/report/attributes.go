package report

import (
	"github.com/heddle-mesh/heddle/data/proxy/accesslog"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// values are those of the expressions of metrics.
func values(m *config.Metrics, r *accesslog.Record) string {
	list := make([]string, len(m.Expressions))
	for i, e := range m.Expressions {
		if e != nil {
			list[i], _ = e.Text(accesslog.Attributes{Record: r})
		}
	}
	return Values(list)
}
