// Package store keeps metrics on disk: Prometheus' time series database in a folder, bounded in time and size.
//
// In: samples, by the appender that the scrapers use. Out: queriers for PromQL. A store is safe for use by many goroutines.
package store

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/compression"
)

// Bounds of Options.
const (
	// MinRetention is the shortest time that can be kept: a block is written when it is full.
	MinRetention = time.Hour
	// segment is the size of a file of the write-ahead log. Small files go sooner.
	segment = 32 << 20
	// MinBlock is the shortest block: writing one takes longer than the samples of a few scrapes are worth.
	MinBlock = time.Minute
)

// Options of Open.
type Options struct {
	Dir       string        // made if it does not exist
	Retention time.Duration // samples that are older go, a block at a time
	MaxBytes  int64         // of blocks and write-ahead log: the oldest blocks go; 0 for no limit
	Block     time.Duration // how much time the youngest block on disk holds; up to one and a half of it are in memory and in the write-ahead log
	Log       *slog.Logger
	Registry  prometheus.Registerer
}

// Store is an open folder of metrics.
type Store struct {
	*tsdb.DB
}

// Open opens the folder and reads what the last run left in its write-ahead log. What is torn at the end of the log, after a hard end, is cut off and told.
func Open(o Options) (*Store, error) {
	if o.Retention < MinRetention {
		return nil, fmt.Errorf("a retention of %s is too short; use %s or more", o.Retention, MinRetention)
	}
	if o.Block < MinBlock || o.Block > o.Retention {
		return nil, fmt.Errorf("blocks of %s are not possible; use %s up to the retention, which is %s", o.Block, MinBlock, o.Retention)
	}
	if o.MaxBytes < 0 {
		return nil, fmt.Errorf("a size of %d bytes is not possible; use 0 for no limit", o.MaxBytes)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of metrics: %w", err)
	}
	opts := tsdb.DefaultOptions()
	opts.RetentionDuration = o.Retention.Milliseconds()
	opts.MaxBytes = o.MaxBytes
	opts.WALSegmentSize = segment
	opts.WALCompression = compression.Snappy
	opts.MinBlockDuration = o.Block.Milliseconds()
	opts.MaxBlockDuration = max(o.Block, o.Retention/10).Milliseconds()
	opts.FloatChunkEncoding = chunkenc.EncXOR
	opts.HeadChunksWriteQueueSize = 0
	db, err := tsdb.Open(o.Dir, o.Log, o.Registry, opts, tsdb.NewDBStats())
	if err != nil {
		return nil, fmt.Errorf("open the metrics in %s: %w", o.Dir, err)
	}
	return &Store{DB: db}, nil
}

// Series is how many series are in memory: those of the last one to one and a half blocks.
func (s *Store) Series() int { return int(s.Head().NumSeries()) }
