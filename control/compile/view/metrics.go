package view

import (
	"maps"
	"slices"
	"time"

	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/telemetry"
)

// metricChange is what is to be different about a metric.
type metricChange struct {
	off  bool
	tags map[string]mesh.MetricTag
}

// Metrics are what is to be different about the standard metrics of a side of the traffic, of HTTP or of TCP, and how often those of what goes on are told (0: nothing said). What a narrower object
// says of a metric or a label takes the place of what a wider one says (Istio's rules).
func (v *View) Metrics(side mesh.Side, tcp bool) (out telemetry.Overrides, interval time.Duration, from []mesh.Ref) {
	changes := map[string]*metricChange{}
	counts := true // for the provider that there is
	for _, t := range v.telemetries() {
		for _, r := range t.Metrics {
			if len(r.Providers) > 0 {
				counts = slices.ContainsFunc(r.Providers, func(name string) bool { p := v.Settings().Provider(name); return p != nil && p.Metrics })
			}
			if !counts {
				continue
			}
			v.From(t.Origin)
			from = append(from, t.Origin)
			if r.Interval > 0 {
				interval = r.Interval
			}
			for i := range r.Overrides {
				change(changes, &r.Overrides[i], side, tcp)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		c := changes[name]
		o := telemetry.Override{Name: name, Drop: c.off}
		for _, tag := range slices.Sorted(maps.Keys(c.tags)) {
			if c.off {
				break // there is nothing to have labels
			}
			if t := c.tags[tag]; t.Remove {
				o.Remove = append(o.Remove, tag)
			} else {
				if o.Dimensions == nil {
					o.Dimensions = map[string]string{}
				}
				o.Dimensions[tag] = t.Value
			}
		}
		if o.Drop || len(o.Remove)+len(o.Dimensions) > 0 {
			out.Metrics = append(out.Metrics, o)
		}
	}
	return out, interval, from
}

func change(changes map[string]*metricChange, o *mesh.MetricOverride, side mesh.Side, tcp bool) {
	if !o.Side.Covers(side) {
		return
	}
	for _, m := range telemetry.Standard(tcp) {
		name := m.ShortName()
		if o.Metric != "" && o.Metric != name {
			continue
		}
		c := changes[name]
		if c == nil {
			c = &metricChange{tags: map[string]mesh.MetricTag{}}
			changes[name] = c
		}
		if o.Disabled != mesh.Unsaid {
			c.off = o.Disabled == mesh.Yes
		}
		for _, t := range o.Tags {
			c.tags[t.Name] = t
		}
	}
}
