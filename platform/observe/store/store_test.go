package store

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// child is in the environment of the process that is killed.
const child = "HEDDLE_TEST_STORE_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(child); dir != "" {
		write(dir)
	}
	os.Exit(m.Run())
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(Options{Dir: dir, Retention: MinRetention, Block: MinRetention, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start of all samples, in ms: recent, so that retention keeps them.
func start() int64 { return time.Now().Add(-10 * time.Minute).UnixMilli() }

func add(s *Store, series string, t int64, v float64) error {
	a := s.AppenderV2(context.Background())
	if _, err := a.Append(0, labels.FromStrings("__name__", series), 0, t, v, nil, nil, storage.AOptions{}); err != nil {
		return err
	}
	return a.Commit()
}

// write stores samples, says how many are stored, and goes on until it is killed.
func write(dir string) {
	s, err := Open(Options{Dir: dir, Retention: MinRetention, Block: MinRetention, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	if err != nil {
		panic(err)
	}
	first := start()
	for n := int64(1); ; n++ {
		if err := add(s, "requests", first+n, float64(n)); err != nil {
			panic(err)
		}
		fmt.Println(n)
	}
}

// values are all samples of a series.
func values(t *testing.T, s *Store, series string) (all []float64) {
	t.Helper()
	q, err := s.Querier(0, time.Now().Add(time.Hour).UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", series))
	for set.Next() {
		for it := set.At().Iterator(nil); it.Next() == chunkenc.ValFloat; {
			_, v := it.At()
			all = append(all, v)
		}
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestKilledWhileWriting: what was committed before a kill is there afterwards, in order and without holes, and a log that is torn in the middle of a record
// loses its end and nothing else.
func TestKilledWhileWriting(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), child+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	told := 0
	for told < 500 {
		if _, err := fmt.Fscan(out, &told); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()

	s := open(t, dir)
	got := values(t, s, "requests")
	if len(got) < told {
		t.Fatalf("%d samples were committed, and %d are there", told, len(got))
	}
	for i, v := range got {
		if v != float64(i+1) {
			t.Fatalf("sample %d is %g", i+1, v)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	segments, err := filepath.Glob(filepath.Join(dir, "wal", "0*"))
	if err != nil || len(segments) == 0 {
		t.Fatal("there is no write-ahead log", err)
	}
	slices.Sort(segments)
	largest := segments[0] // the later ones began when it was opened again, and are empty
	info, err := os.Stat(largest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(largest, info.Size()*2/3+1); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	torn := values(t, s, "requests")
	if len(torn) == 0 || len(torn) >= len(got) || !slices.Equal(torn, got[:len(torn)]) {
		t.Fatalf("of %d samples %d are there after the log was torn", len(got), len(torn))
	}
	if err := add(s, "requests", time.Now().UnixMilli(), 1e6); err != nil {
		t.Fatal("it takes no samples after it was torn:", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer s.Close()
	if again := values(t, s, "requests"); !slices.Equal(again, append(torn, 1e6)) {
		t.Fatalf("%d samples after the repair, want %d and one more", len(again), len(torn))
	}
}

// TestSecondOpenIsRefused: two stores in one folder would destroy each other's samples.
func TestSecondOpenIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	if other, err := Open(Options{Dir: dir, Retention: MinRetention, Block: MinRetention, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()}); err == nil {
		other.Close()
		t.Fatal("a folder was opened twice")
	}
}

func TestMeaninglessOptions(t *testing.T) {
	for want, o := range map[string]Options{
		"blocks of 0s are not possible; use 1m0s up to the retention, which is 1h0m0s":     {Retention: MinRetention},
		"blocks of 2h0m0s are not possible; use 1m0s up to the retention, which is 1h0m0s": {Retention: MinRetention, Block: 2 * MinRetention},
		"a retention of 1m0s is too short; use 1h0m0s or more":                             {Retention: time.Minute},
		"a size of -1 bytes is not possible; use 0 for no limit":                           {Retention: MinRetention, Block: MinBlock, MaxBytes: -1},
		"make the folder of metrics: mkdir /dev/null: not a directory":                     {Retention: MinRetention, Block: MinBlock, Dir: "/dev/null/metrics"},
	} {
		if _, err := Open(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
