package resident

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"weak"
)

// TestMemoryIsGivenBackAtRestAfterMuch, and neither in the middle of work nor for little nor all the time.
func TestMemoryIsGivenBackAtRestAfterMuch(t *testing.T) {
	const live = 8 << 20
	var k keeper
	total := uint64(0)
	// after lets seconds pass with so many bytes in each, and says in which memory was given back.
	after := func(seconds int, bytes uint64) (when []int) {
		for i := range seconds {
			if total += bytes; k.due(total, live) {
				when = append(when, i)
			}
		}
		return when
	}
	for _, step := range []struct {
		what    string
		seconds int
		bytes   uint64
		times   int
	}{
		{"the start", 2, 2 << 20, 0},
		{"rest after the start", 60, 0, 1},
		{"little work", 60, 1000, 0},
		{"much work", 60, 10 << 20, 0},
		{"rest after it", 60, 0, 1},
		{"steady work that is no rest", 60, calm, 0},
		{"steady work at rest", 60, calm - 1, 6},
	} {
		when := after(step.seconds, step.bytes)
		if len(when) != step.times {
			t.Errorf("%s: given back in seconds %v, want %d times", step.what, when, step.times)
		}
		for i := 1; i < len(when); i++ {
			if when[i]-when[i-1] < pause {
				t.Errorf("%s: given back in seconds %v", step.what, when)
			}
		}
	}
}

// TestPoolsAreEmptied: a crowd leaves its buffers in pools, where one collection does not reach them.
func TestPoolsAreEmptied(t *testing.T) {
	var pool sync.Pool
	left := func() weak.Pointer[[1 << 20]byte] {
		buffer := new([1 << 20]byte)
		pool.Put(buffer)
		return weak.Make(buffer)
	}
	held := left()
	giveBack()
	if held.Value() != nil {
		t.Error("a pool still holds a buffer that nobody uses")
	}
	runtime.KeepAlive(&pool)
}

// TestProgramIsUnmapped: the program needs less of itself afterwards, and still runs.
func TestProgramIsUnmapped(t *testing.T) {
	before := mapped(t)
	if err := unmapProgram(); err != nil {
		t.Fatal(err)
	}
	after := mapped(t)
	t.Logf("%d kB of files before, %d kB after", before, after)
	if after >= before {
		t.Errorf("%d kB of files are in memory, as before (%d kB)", after, before)
	}
}

// mapped is how much of files is in this process, in kB.
func mapped(t *testing.T) int {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "RssFile:"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Skip("no RssFile")
	return 0
}
