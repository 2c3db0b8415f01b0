package vip

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAddressesAreInTheRangesAndStable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "addresses.json")
	a, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	first, err := a.Give("shop/web.shop.svc.cluster.local")
	if err != nil {
		t.Fatal(err)
	}
	if !netip.MustParsePrefix("240.240.0.0/16").Contains(first[0]) || !netip.MustParsePrefix("2001:2::/48").Contains(first[1]) {
		t.Errorf("out of the ranges: %v", first)
	}
	if _, err := a.Give("gone"); err != nil {
		t.Fatal(err)
	}
	if err := a.Settle(); err != nil {
		t.Fatal(err)
	}
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := b.Give("shop/web.shop.svc.cluster.local")
	if !slices.Equal(first, again) {
		t.Errorf("after a restart %v, before %v", again, first)
	}
	if err := b.Settle(); err != nil || b.Has("gone") {
		t.Errorf("a name that nobody asks for keeps its address (%v)", err)
	}
}

// A name that collides with another keeps its address when the other goes and comes.
func TestRecordedCollisionsStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		path := filepath.Join(os.TempDir(), fmt.Sprintf("vip-%d-%d.json", os.Getpid(), rapid.Int64().Draw(t, "file")))
		defer os.Remove(path)
		a, _ := Open(path)
		held := map[string][]netip.Addr{}
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			name := fmt.Sprint(rapid.IntRange(0, 3000).Draw(t, "name"))
			if rapid.IntRange(0, 3).Draw(t, "op") == 0 {
				a.Release(name)
				delete(held, name)
				continue
			}
			ips, err := a.Give(name)
			if err != nil {
				t.Fatal(err)
			}
			if old, ok := held[name]; ok && !slices.Equal(old, ips) {
				t.Fatalf("%s moved from %v to %v", name, old, ips)
			}
			held[name] = ips
		}
		used := map[netip.Addr]string{}
		for n, ips := range held {
			for _, ip := range ips {
				if o, ok := used[ip]; ok {
					t.Fatalf("%s given to %s and %s", ip, o, n)
				}
				used[ip] = n
			}
		}
		if err := a.Settle(); err != nil {
			t.Fatal(err)
		}
		b, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for n, ips := range held {
			if got, _ := b.Give(n); !slices.Equal(got, ips) {
				t.Fatalf("%s: %v after a restart, %v before", n, got, ips)
			}
		}
	})
}

func TestFull(t *testing.T) {
	a, _ := Open("")
	for i := range slots {
		if _, err := a.Give(fmt.Sprint("s", i)); err != nil {
			t.Fatal(i, err)
		}
	}
	if _, err := a.Give("one more"); !errors.Is(err, ErrFull) {
		t.Errorf("got %v", err)
	}
}

func TestBrokenRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.json")
	for content, want := range map[string]string{
		`{`:                                          "remove the file",
		`{"version":2}`:                              "newer",
		`{"version":1,"slots":{"a":1,"b":1}}`:        "given twice",
		`{"version":1,"slots":{"a":0}}`:              "out of range",
		`{"version":1,"slots":{"a":65535}}`:          "out of range",
		`{"version":1,"adopted":{"a":["10.0.0.1"]}}`: "out of range",
		`{"version":1,"adopted":{"a":["240.240.0.9"],"b":["240.240.0.9"]}}`: "given twice",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
}

// What is written in objects goes before what only this process knows of; two objects with the same address do not share it.
func TestAdopt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.json")
	a, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	early, _ := a.Give("early")
	istios := []netip.Addr{netip.MustParseAddr("240.240.0.7"), netip.MustParseAddr("2001:2::7")}
	for _, step := range []struct {
		name   string
		ips    []netip.Addr
		losers string
		has    bool // these very addresses afterwards
	}{
		{"istio", istios, "[]", true},
		{"istio", istios, "[]", true},
		{"thief", istios, "[]", false},
		{"thief", istios[1:], "[]", false},
		{"outside", []netip.Addr{netip.MustParseAddr("10.0.0.1")}, "[]", false},
		{"edge", []netip.Addr{netip.MustParseAddr("240.240.255.255"), netip.MustParseAddr("240.240.0.0"), netip.MustParseAddr("2001:2::")}, "[]", false},
		{"late", early, "[early]", true},
		{"istio", early, "[]", false},
		{"one family", []netip.Addr{netip.MustParseAddr("240.240.0.9")}, "[]", true},
	} {
		if losers := a.Adopt(step.name, step.ips); fmt.Sprint(losers) != step.losers {
			t.Errorf("%s with %v: %v lose theirs, want %s", step.name, step.ips, losers, step.losers)
		}
		if got, err := a.Give(step.name); err != nil || slices.Equal(got, step.ips) != step.has {
			t.Errorf("%s holds %v after %v (%v)", step.name, got, step.ips, err)
		}
	}
	if again, _ := a.Give("early"); slices.Equal(again, early) {
		t.Error("an address is held twice")
	}
	if err := a.Settle(); err != nil {
		t.Fatal(err)
	}
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"istio", "late", "early", "one family", "thief"} {
		before, _ := a.Give(name)
		if after, _ := b.Give(name); !slices.Equal(before, after) {
			t.Errorf("%s: %v before a restart and %v after it", name, before, after)
		}
	}
}
