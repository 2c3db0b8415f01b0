package report

import (
	"maps"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/telemetry"
)

// Values joins the values of a plan's expressions, so that they can be part of a key.
func Values(list []string) string { return strings.Join(list, "\x00") }

// overflowed stands for the values of a series of overflow. No value has a line feed before it: they are joined by zero bytes.
const overflowed = "\n" + telemetry.Overflow

// maxValue bounds the value of a label that an expression gives, in bytes: it may be a client's text.
const maxValue = 256

// desc describes a metric by a plan, with its labels, of which values are the standard ones and given those of the plan's expressions; false when it is not counted.
func desc(p *telemetry.Plan, m telemetry.Metric, labels []telemetry.Label, values *[telemetry.LabelCount]string, given string) (d stats.Desc, ok bool) {
	d = stats.Desc{Name: m.Name, Help: m.Help}
	o := p.Of(m)
	if o.Drop {
		return d, false
	}
	for _, l := range labels {
		name := l.String()
		if _, other := o.Dimensions[name]; !other && !slices.Contains(o.Remove, name) {
			d.Labels = append(d.Labels, stats.Label{Name: name, Value: values[l]})
		}
	}
	if len(o.Dimensions) == 0 {
		return d, true
	}
	all := strings.Split(given, "\x00")
	if given == overflowed {
		all = slices.Repeat([]string{telemetry.Overflow}, len(p.Expressions))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Dimensions)) {
		value := telemetry.Unknown
		if i := slices.Index(p.Expressions, o.Dimensions[name]); i >= 0 && i < len(all) && all[i] != "" {
			value = strings.ToValidUTF8(all[i][:min(len(all[i]), maxValue)], "\uFFFD")
		}
		d.Labels = append(d.Labels, stats.Label{Name: name, Value: value})
	}
	return d, true
}
