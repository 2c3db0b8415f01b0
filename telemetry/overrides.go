package telemetry

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Overrides are what is to be different about the standard metrics (stats.PluginConfig of istio.io/api/envoy/extensions/stats, which this is the JSON of).
type Overrides struct {
	Metrics []Override `json:"metrics,omitempty"`
}

// Override is what is to be different about one metric.
type Override struct {
	Name string `json:"name,omitempty"` // without istio_; "" for all
	Drop bool   `json:"drop,omitempty"`
	// Remove are labels to leave out, Dimensions expressions (CEL, with Envoy's attributes) of labels to set, by name.
	Remove     []string          `json:"tags_to_remove,omitempty"`
	Dimensions map[string]string `json:"dimensions,omitempty"`
}

// Empty says that nothing is different.
func (o Overrides) Empty() bool { return len(o.Metrics) == 0 }

// Expressions are those of all labels, ordered and each once.
func (o Overrides) Expressions() (out []string) {
	for _, m := range o.Metrics {
		for _, e := range m.Dimensions {
			out = append(out, e)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// LogName is the name of the log of entries that are to be counted so.
func (o Overrides) LogName(log string) string {
	if o.Empty() {
		return log
	}
	return log + " " + o.text()
}

func (o Overrides) text() string {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err) // texts and lists of them
	}
	return string(b)
}

// ParseLogName is what LogName made a name of.
func ParseLogName(name string) (log string, o Overrides, err error) {
	log, text, some := strings.Cut(name, " ")
	if !some || log != EntriesInbound && log != EntriesOutbound {
		return log, o, nil
	}
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return log, o, fmt.Errorf("the name of the log %s does not say how its entries are counted: %w", log, err)
	}
	return log, o, nil
}

// TagAttribute is the tag that has the value of one of Envoy's attributes.
func TagAttribute(name string) string { return "@" + name }

// ShortName is the name of a metric as overrides have it.
func (m Metric) ShortName() string { return strings.TrimPrefix(m.Name, "istio_") }
