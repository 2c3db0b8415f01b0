package register

import (
	"context"
	"maps"
	"time"

	"github.com/heddle-mesh/heddle/api"
)

// The reasons of the condition.
const (
	reasonSucceeded = "ProbeSucceeded"
	reasonFailed    = "ProbeFailed"
)

// longestMessage bounds what a proxy says of a probe that failed.
const longestMessage = 1024

// tellHealth writes what a proxy found out into the entry's status, unless the entry is another control plane's by now, or has something newer.
func (r *Registrar) tellHealth(ctx context.Context, ref api.Ref, p *probe) error {
	o, err := r.opts.Entries.Read(ctx, ref)
	if err != nil || o.Meta.Annotations[markController] != r.opts.Instance {
		return err
	}
	if old := healthy(o); old != nil {
		text, _ := old["lastProbeTime"].(string)
		if last, err := time.Parse(time.RFC3339Nano, text); err == nil && last.After(p.at) {
			return nil
		}
	}
	return r.opts.Entries.WriteStatus(ctx, o, withHealth(o.Status, p))
}

// healthy is the condition of an entry, nil without one.
func healthy(o api.Object) map[string]any {
	list, _ := o.Status["conditions"].([]any)
	for _, c := range list {
		if m, ok := c.(map[string]any); ok && m["type"] == api.ConditionHealthy {
			return m
		}
	}
	return nil
}

// withHealth is a status with what a probe found; nil takes the condition away.
func withHealth(status map[string]any, p *probe) map[string]any {
	out := maps.Clone(status)
	if out == nil {
		out = map[string]any{}
	}
	conditions := []any{}
	var old map[string]any
	list, _ := status["conditions"].([]any)
	for _, c := range list {
		if m, ok := c.(map[string]any); ok && m["type"] == api.ConditionHealthy {
			old = m
			continue
		}
		conditions = append(conditions, c)
	}
	if p != nil {
		now := map[string]any{"type": api.ConditionHealthy, "status": "True", "reason": reasonSucceeded, "lastProbeTime": stamp(p.at), "lastTransitionTime": stamp(p.at)}
		if !p.healthy {
			now["status"], now["reason"], now["message"] = "False", reasonFailed, p.message[:min(len(p.message), longestMessage)]
		}
		if old != nil && old["status"] == now["status"] && old["lastTransitionTime"] != nil {
			now["lastTransitionTime"] = old["lastTransitionTime"]
		}
		conditions = append(conditions, now)
	}
	out["conditions"] = conditions
	return out
}
