package register

import (
	"context"
	"errors"
	"time"

	"golang.org/x/time/rate"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/mesh"
)

const (
	sweepEvery = 10  // grace periods between two looks at all entries
	orphaned   = 2.5 // times Refresh without a sign of life, an entry's control plane is gone, and its proxy did not find another one
	perSecond  = 20  // entries that are cleaned up, at most
)

// Run looks from time to time for entries that nobody cleaned up: their control plane was gone when their proxy went.
func (r *Registrar) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery * r.opts.Grace)
	defer tick.Stop()
	limit := rate.NewLimiter(perSecond, 1)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.live.Done():
			return nil
		case <-tick.C:
		}
		for e := range r.opts.Objects.All() {
			if ref := e.Object.Ref(); ref.Group != api.GroupNetworking || ref.Kind != "WorkloadEntry" || !r.over(e.Object) {
				continue
			}
			if limit.Wait(ctx) != nil {
				return nil
			}
			if err := r.try(func(ctx context.Context) error { return r.clean(ctx, e.Object.Ref()) }); err != nil {
				r.opts.Metrics.failed()
				r.log.Warn("the entry of a workload that left is not removed; trying again later", "entry", e.Object.Ref().String(), "error", err)
			}
		}
	}
}

// over says whether an entry's proxy is gone for good.
func (r *Registrar) over(o api.Object) bool {
	if o.Meta.Annotations[markGroup] == "" && (o.Meta.Annotations[markController] == "" || healthy(o) == nil) {
		return false // nobody else's business
	}
	if r.forsaken(o) {
		return true
	}
	if said := o.Meta.Annotations[markConnected]; said != "" {
		at, ok := moment(o, markConnected)
		return ok && time.Since(at) > time.Duration(orphaned*float64(r.opts.Refresh))
	}
	if o.Meta.Annotations[markDisconnected] == "" {
		return false
	}
	at, ok := moment(o, markDisconnected)
	return !ok || time.Since(at) >= r.opts.Grace
}

// forsaken says whether an entry's group is gone, where nobody else would remove what belonged to it.
func (r *Registrar) forsaken(o api.Object) bool {
	group := o.Meta.Annotations[markGroup]
	if !r.opts.Collect || group == "" {
		return false
	}
	_, there := r.opts.Objects.Get(api.Ref{Group: api.GroupNetworking, Kind: "WorkloadGroup", Namespace: mesh.Namespace(o.Meta.Namespace), Name: group})
	return !there
}

// clean removes an entry that was made for a proxy which did not come back; of one that somebody made it forgets what that proxy said of its health.
func (r *Registrar) clean(ctx context.Context, ref api.Ref) error {
	o, err := r.opts.Entries.Read(ctx, ref)
	if err != nil || !r.over(o) {
		return err
	}
	if o.Meta.Annotations[markGroup] == "" {
		return r.opts.Entries.WriteStatus(ctx, o, withHealth(o.Status, nil))
	}
	if err := r.opts.Entries.Delete(ctx, o); err != nil {
		if errors.Is(err, config.ErrGone) {
			return nil
		}
		return err
	}
	r.opts.Metrics.deleted()
	r.log.Info("the entry of a workload that did not come back is removed", "entry", ref.String())
	return nil
}
