package snapshot

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/control/health"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
)

// Published is one new snapshot and the one that it follows (nil for the first).
type Published struct {
	Before, Now *mesh.Snapshot
	Since       time.Time // when the oldest change in it was heard of
}

// Timing is how long changes are collected.
type Timing struct {
	Quiet time.Duration // a snapshot is made when nothing changed for so long; 0 is 10 ms
	Max   time.Duration // and at the latest after so long; 0 is 1 s
}

// Report is what is known of an object after a build: one that was given or whose problems or status changed.
type Report struct {
	Ref      mesh.Ref
	Problems []mesh.Problem    // in the order in which they were found; of an object that is gone, none
	Status   *condition.Status // nil when it is not Heddle's to write
}

// Publisher builds and publishes; it is the one place where changes are collected.
type Publisher struct {
	builder *Builder
	store   *config.Store
	board   *health.Board
	timing  Timing
	log     *slog.Logger
	// OnPublish hears of every snapshot, OnReport of objects; both are called from Run's goroutine and set before it starts.
	OnPublish func(Published)
	OnReport  func([]Report)

	current atomic.Pointer[mesh.Snapshot]
}

// NewPublisher puts a publisher around a builder.
func NewPublisher(b *Builder, store *config.Store, board *health.Board, timing Timing, log *slog.Logger) *Publisher {
	if timing.Quiet <= 0 {
		timing.Quiet = 10 * time.Millisecond
	}
	if timing.Max <= 0 {
		timing.Max = time.Second
	}
	return &Publisher{builder: b, store: store, board: board, timing: timing, log: log}
}

// Current is the last snapshot, nil before the first.
func (p *Publisher) Current() *mesh.Snapshot { return p.current.Load() }

// Run waits until every source is complete, publishes the first snapshot, and then one after each pause in the changes, until ctx ends.
func (p *Publisher) Run(ctx context.Context) error {
	feed := p.store.Feed()
	select {
	case <-ctx.Done():
		return nil
	case <-p.store.Complete():
	}
	p.build(feed)
	if p.current.Load() == nil { // an empty mesh is a mesh
		empty := p.builder.now
		p.publish(&empty, time.Now())
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-feed.Ready():
		case <-p.board.Changes():
		}
		if !p.collect(ctx, feed) {
			return nil
		}
		p.build(feed)
	}
}

// collect waits for a pause in the changes.
func (p *Publisher) collect(ctx context.Context, feed *config.Feed) bool {
	end := time.NewTimer(p.timing.Max)
	defer end.Stop()
	quiet := time.NewTimer(p.timing.Quiet)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-feed.Ready():
			quiet.Reset(p.timing.Quiet)
		case <-p.board.Changes():
			quiet.Reset(p.timing.Quiet)
		case <-quiet.C:
			return true
		case <-end.C:
			return true
		}
	}
}

func (p *Publisher) build(feed *config.Feed) {
	start := time.Now()
	refs, since, _ := feed.Take()
	snap, told := p.builder.Apply(refs, p.board.Take())
	p.report(refs, told)
	if snap == nil {
		return
	}
	if since.IsZero() {
		since = start
	}
	p.log.Debug("snapshot built", "revision", snap.Revision, "objects", len(refs), "took", time.Since(start))
	p.publish(snap, since)
}

func (p *Publisher) publish(snap *mesh.Snapshot, since time.Time) {
	before := p.current.Swap(snap)
	if p.OnPublish != nil {
		p.OnPublish(Published{Before: before, Now: snap, Since: since})
	}
}

func (p *Publisher) report(refs []api.Ref, told []mesh.Ref) {
	all := slices.Concat(refs, told)
	slices.SortFunc(all, mesh.CompareRef)
	all = slices.Compact(all)
	reports := make([]Report, 0, len(all))
	for _, ref := range all {
		reports = append(reports, Report{Ref: ref, Problems: p.builder.Problems(ref), Status: p.builder.Status(ref)})
	}
	if p.OnReport != nil && len(reports) > 0 {
		p.OnReport(reports)
	}
}
