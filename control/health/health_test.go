package health

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestStreamLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		w, never := Workload{"shop", "web-1"}, Workload{"shop", "never"}
		if s := b.State(never); s != Presumed {
			t.Errorf("without a record, at the start: %v", s)
		}
		first := b.Connected(w)
		<-b.Changes()
		if got := b.Take(); len(got) != 1 || got[0] != w || b.State(w) != Alive {
			t.Errorf("connected: %v, %v", got, b.State(w))
		}
		second := b.Connected(w)
		first()
		first() // twice is once
		time.Sleep(time.Second)
		if b.State(w) != Alive {
			t.Error("a second stream lives, yet the workload is gone")
		}
		second()
		time.Sleep(200 * time.Millisecond)
		if b.State(w) != Alive {
			t.Error("gone before the hold time")
		}
		third := b.Connected(w)
		time.Sleep(time.Second)
		if b.State(w) != Alive {
			t.Error("a reconnect within the hold time did not count")
		}
		third()
		time.Sleep(time.Second)
		if b.State(w) != Gone {
			t.Errorf("after the hold time: %v", b.State(w))
		}
		time.Sleep(15 * time.Second)
		if b.State(never) != Unknown {
			t.Errorf("after the grace time: %v", b.State(never))
		}
		if got := b.Take(); len(got) != 2 {
			t.Errorf("want the workload and the end of the grace time, got %v", got)
		}
	})
}

// The streams of a heddled that ends break; that is no word about their workloads, and what is under way must not reach the record that its successor reads.
func TestTheEndOfHeddledIsNotThatOfWorkloads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "health.json")
	synctest.Test(t, func(t *testing.T) {
		b, err := New(Options{Record: path})
		if err != nil {
			t.Fatal(err)
		}
		w, late := Workload{"shop", "a"}, Workload{"shop", "b"}
		gone, lateGone := b.Connected(w), b.Connected(late)
		gone()
		if err := b.Close(); err != nil { // within the hold time
			t.Fatal(err)
		}
		lateGone()
		time.Sleep(time.Minute)
		next, err := New(Options{Record: path})
		if err != nil {
			t.Fatal(err)
		}
		if next.State(w) != Presumed || next.State(late) != Presumed {
			t.Errorf("the next heddled takes them for %v and %v", next.State(w), next.State(late))
		}
		next.Close()
	})
}

func TestRecordSurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "health.json")
	b, err := New(Options{Record: path})
	if err != nil {
		t.Fatal(err)
	}
	alive, dead := Workload{"shop", "a"}, Workload{"shop", "b"}
	b.Connected(alive)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := New(Options{Record: path})
	if err != nil {
		t.Fatal(err)
	}
	if again.State(alive) != Presumed || again.State(dead) != Unknown {
		t.Errorf("after a restart: %v, %v", again.State(alive), again.State(dead))
	}
	for content, want := range map[string]string{"{": "remove the file", `{"version":9}`: "newer"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Options{Record: path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
}
