package decode

import (
	"time"

	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	connectionsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	heapv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/fixed_heap/v3"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// defaultRefresh is Envoy's refresh_interval.
const defaultRefresh = time.Second

func (r *read) overload(path string, m *overloadv3.OverloadManager) *config.Overload {
	if m == nil {
		return nil
	}
	o := &config.Overload{Refresh: max(r.duration(path+".refresh_interval", m.GetRefreshInterval(), defaultRefresh), time.Millisecond)}
	monitors := map[string]config.OverloadResource{}
	for i, one := range m.GetResourceMonitors() {
		r.monitor(at(path, "resource_monitors", i), one, o, monitors)
	}
	seen := map[config.OverloadKind]bool{}
	for i, a := range m.GetActions() {
		p := at(path, "actions", i)
		kind, ok := actionNamed(a.GetName())
		if !ok || seen[kind] {
			r.add(p+".name", "%q is no action that is supported, or is there twice", a.GetName())
			continue
		}
		seen[kind] = true
		out := config.OverloadAction{Kind: kind}
		for j, t := range a.GetTriggers() {
			out.Triggers = append(out.Triggers, r.trigger(at(p, "triggers", j), t, monitors))
		}
		if len(out.Triggers) == 0 {
			r.add(p+".triggers", "it is empty")
		}
		o.Actions = append(o.Actions, out)
	}
	return o
}

func (r *read) monitor(path string, m *overloadv3.ResourceMonitor, o *config.Overload, known map[string]config.OverloadResource) {
	if m.GetTypedConfig() == nil {
		r.add(path+".typed_config", "it is missing")
		return
	}
	inner, err := open(m.GetTypedConfig())
	if err != nil {
		return // reported already
	}
	switch c := inner.(type) {
	case *heapv3.FixedHeapConfig:
		known[m.GetName()] = config.Heap
		if o.MaxHeap != 0 {
			r.add(path, "the heap is watched already")
		}
		if o.MaxHeap = c.GetMaxHeapSizeBytes(); o.MaxHeap == 0 {
			r.add(path+".typed_config.max_heap_size_bytes", "want 1 or more")
		}
	case *connectionsv3.DownstreamConnectionsConfig:
		known[m.GetName()] = config.Connections
		if o.MaxConnections != 0 {
			r.add(path, "connections are watched already")
		}
		if c.GetMaxActiveDownstreamConnections() < 1 {
			r.add(path+".typed_config.max_active_downstream_connections", "want 1 or more")
		}
		o.MaxConnections = uint64(max(c.GetMaxActiveDownstreamConnections(), 1))
	default:
		r.add(path+".typed_config", "%s is not a resource monitor that is supported", inner.ProtoReflect().Descriptor().FullName())
	}
	if known[m.GetName()].String() != m.GetName() { // statistics and triggers go by it
		r.add(path+".name", "want %q", known[m.GetName()])
	}
}

func (r *read) trigger(path string, m *overloadv3.Trigger, known map[string]config.OverloadResource) config.OverloadTrigger {
	resource, ok := known[m.GetName()]
	if !ok {
		r.add(path+".name", "%q is not among resource_monitors", m.GetName())
	}
	t := config.OverloadTrigger{Resource: resource}
	part := func(field string, v float64) float64 {
		if v < 0 || v > 1 {
			r.add(path+"."+field, "want 0 to 1")
		}
		return v
	}
	switch {
	case m.GetScaled() != nil:
		t.Low, t.High = part("scaled.scaling_threshold", m.GetScaled().GetScalingThreshold()), part("scaled.saturation_threshold", m.GetScaled().GetSaturationThreshold())
		if t.Low >= t.High {
			r.add(path+".scaled.scaling_threshold", "it is not below saturation_threshold")
		}
	case m.GetThreshold() != nil:
		t.Low = part("threshold.value", m.GetThreshold().GetValue())
		t.High = t.Low
	default:
		r.add(path, "neither threshold nor scaled is set")
	}
	return t
}

func actionNamed(name string) (config.OverloadKind, bool) {
	for k := range config.OverloadKinds {
		if k.String() == name {
			return k, true
		}
	}
	return 0, false
}
