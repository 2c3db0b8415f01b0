package chain

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const entry = `{"type":"heddle-cni","agent":"/run/x"}`

// list has an odd form, which must survive.
const list = "{\n\t\"cniVersion\": \"1.0.0\", \"name\": \"lab\",\n  \"plugins\": [\n {\"type\": \"bridge\",  \"ipam\": {\"plugins\": []}}, {\"type\":\"portmap\"}\n ],  \"disableCheck\": true }\n"

func TestInsertAndRemoveKeepEveryByte(t *testing.T) {
	got, err := Insert([]byte(list), "heddle-cni", []byte(entry))
	if err != nil || !json.Valid(got) || !strings.Contains(string(got), `{"type":"portmap"},`+"\n  "+entry) {
		t.Fatalf("%s %v", got, err)
	}
	if again, err := Insert(got, "heddle-cni", []byte(entry)); err != nil || string(again) != string(got) {
		t.Errorf("again: %s %v", again, err)
	}
	other := strings.Replace(string(got), "/run/x", "/run/y", 1)
	if again, err := Insert([]byte(other), "heddle-cni", []byte(entry)); err != nil || string(again) != string(got) {
		t.Errorf("with other settings: %s %v", again, err)
	}
	if back, err := Remove(got, "heddle-cni"); err != nil || string(back) != list {
		t.Errorf("%s %v", back, err)
	}
	// Somebody put his own behind it: ours goes to the end, and his stays.
	behind, err := Insert(got, "tuning", []byte(`{"type":"tuning"}`))
	if err != nil {
		t.Fatal(err)
	}
	moved, err := Insert(behind, "heddle-cni", []byte(entry))
	if all, err2 := elements(moved); err != nil || err2 != nil || all[3].kind != "heddle-cni" || all[2].kind != "tuning" || len(all) != 4 {
		t.Errorf("%s %v %v", moved, err, err2)
	}
	first := `{"plugins":[` + entry + `, {"type":"a"}]}`
	if back, err := Remove([]byte(first), "heddle-cni"); err != nil || string(back) != `{"plugins":[{"type":"a"}]}` {
		t.Errorf("%s %v", back, err)
	}
}

func TestBrokenTexts(t *testing.T) {
	for _, text := range []string{"", "[]", "{", `{"plugins":{}}`, `{"plugins":[]}`, `{"name":"x"}`, `{"plugins":[{"type":1}]}`, `{"plugins":[{"type":"a"}`, `{"plugins":[1]}`} {
		if got, err := Insert([]byte(text), "heddle-cni", []byte(entry)); err == nil {
			t.Errorf("%q becomes %s", text, got)
		}
	}
	if got, err := Remove([]byte(`{"plugins":[`+entry+`]}`), "heddle-cni"); err == nil {
		t.Errorf("nothing would be left: %s", got)
	}
	if got, err := List([]byte(`{"type":"a"}`)); err == nil {
		t.Errorf("without a name: %s", got)
	}
}

// TestAnyList inserts into lists of any form and takes it out again.
func TestAnyList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		space := rapid.StringOfN(rapid.RuneFrom([]rune(" \n\t")), 0, 3, -1)
		text := "{" + space.Draw(t, "s") + `"name"` + space.Draw(t, "s") + `:"n",` + space.Draw(t, "s") + `"plugins":` + space.Draw(t, "s") + "[" + space.Draw(t, "s")
		n := rapid.IntRange(1, 4).Draw(t, "n")
		for i := range n {
			if i > 0 {
				text += space.Draw(t, "s") + "," + space.Draw(t, "s")
			}
			text += rapid.SampledFrom([]string{`{"type":"a"}`, `{ "x":[1,{"plugins":[{"type":"heddle-cni"}]}], "type" : "b\u0061" }`, `{}`}).Draw(t, "p")
		}
		text += space.Draw(t, "s") + "]" + space.Draw(t, "s") + "}" + space.Draw(t, "s")
		with, err := Insert([]byte(text), "heddle-cni", []byte(entry))
		if err != nil || !json.Valid(with) || !Has(with, "heddle-cni") || Has([]byte(text), "heddle-cni") {
			t.Fatalf("%s %v", with, err)
		}
		if back, err := Remove(with, "heddle-cni"); err != nil || string(back) != text {
			t.Fatalf("%q %v, want %q", back, err, text)
		}
	})
}

func place(t *testing.T) *Place {
	t.Helper()
	dir := t.TempDir()
	p := &Place{BinDir: filepath.Join(dir, "bin"), ConfDir: filepath.Join(dir, "net.d"), Program: filepath.Join(dir, "program"), Kind: "heddle-cni", Entry: []byte(entry)}
	put(t, p.Program, "machine code", 0o755)
	if err := os.Mkdir(p.ConfDir, 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func files(t *testing.T, p *Place) (names []string) {
	t.Helper()
	for _, dir := range []string{p.BinDir, p.ConfDir} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	return names
}

func ensure(t *testing.T, p *Place, want ...string) {
	t.Helper()
	changed, err := p.Ensure()
	var names []string
	for _, c := range changed {
		names = append(names, filepath.Base(c))
	}
	if err != nil || !slices.Equal(names, want) {
		t.Fatalf("changed %v (%v), want %v", names, err, want)
	}
}

func TestPlace(t *testing.T) {
	p := place(t)
	if _, err := p.Ensure(); !errors.Is(err, ErrNoNetwork) {
		t.Errorf("without a network: %v", err)
	}
	conf := filepath.Join(p.ConfDir, "10-lab.conflist")
	put(t, conf, list, 0o640)
	put(t, filepath.Join(p.ConfDir, temporary+"broken-off"), "", 0o600)
	ensure(t, p, "10-lab.conflist")
	ensure(t, p)
	if info, err := os.Stat(conf); err != nil || info.Mode().Perm() != 0o640 || !Has([]byte(text(t, conf)), "heddle-cni") {
		t.Errorf("%v %v", info, err)
	}
	if info, err := os.Stat(p.binary()); err != nil || info.Mode().Perm() != 0o755 || text(t, p.binary()) != "machine code" {
		t.Errorf("%v %v", info, err)
	}

	put(t, p.Program, "better machine code", 0o755)
	put(t, conf, list, 0o640)
	ensure(t, p, "heddle-cni", "10-lab.conflist")

	// Another network comes before the first: the entry goes there.
	before := filepath.Join(p.ConfDir, "05-new.conflist")
	put(t, before, list, 0o644)
	ensure(t, p, "05-new.conflist", "10-lab.conflist")
	if text(t, conf) != list {
		t.Errorf("%s", text(t, conf))
	}
	if err := p.Remove(); err != nil {
		t.Fatal(err)
	}
	if got := files(t, p); !slices.Equal(got, []string{"05-new.conflist", "10-lab.conflist"}) || text(t, before) != list || text(t, conf) != list {
		t.Errorf("left: %v", got)
	}
	if err := p.Remove(); err != nil {
		t.Errorf("nothing is there: %v", err)
	}
}

// TestOnePlugin: the configuration is no list, and its owner rewrites it later.
func TestOnePlugin(t *testing.T) {
	p := place(t)
	const one = "{\"cniVersion\":\"0.4.0\",\"name\":\"n\",\"type\":\"bridge\" }\n"
	conf := filepath.Join(p.ConfDir, "10-x.conf")
	put(t, conf, one, 0o600)
	ensure(t, p, "heddle-cni", "10-x.conf")
	ensure(t, p)
	if got := files(t, p); !slices.Equal(got, []string{"heddle-cni", "10-x.conf.heddle-saved", "10-x.conflist"}) {
		t.Errorf("%v", got)
	}
	if got := text(t, conf+"list"); got != `{"cniVersion":"0.4.0","name":"n", "plugins": [{"cniVersion":"0.4.0","name":"n","type":"bridge" },`+"\n  "+entry+"]}\n" {
		t.Error(got)
	}
	newer := strings.Replace(one, "bridge", "ptp", 1)
	put(t, conf, newer, 0o600)
	ensure(t, p, "10-x.conf")
	ensure(t, p)
	if err := p.Remove(); err != nil {
		t.Fatal(err)
	}
	if got := files(t, p); !slices.Equal(got, []string{"10-x.conf"}) || text(t, conf) != newer {
		t.Errorf("%v %s", got, text(t, conf))
	}
}

func TestABrokenConfigurationIsNamed(t *testing.T) {
	p := place(t)
	put(t, filepath.Join(p.ConfDir, "10-x.conflist"), "{", 0o600)
	if _, err := p.Ensure(); err == nil || !strings.Contains(err.Error(), "10-x.conflist") {
		t.Error(err)
	}
}

// TestWatch: somebody rewrites the configuration and removes the program, and both come back.
func TestWatch(t *testing.T) {
	p := place(t)
	conf := filepath.Join(p.ConfDir, "10-lab.conflist")
	put(t, conf, list, 0o644)
	ctx, cancel := context.WithCancel(t.Context())
	heard, done := make(chan []string, 9), make(chan error, 1)
	go func() {
		done <- p.Watch(ctx, func(changed []string, err error) {
			if err != nil {
				t.Error(err)
			}
			heard <- changed
		})
	}()
	if got := <-heard; len(got) != 2 {
		t.Errorf("at first: %v", got)
	}
	put(t, conf, list, 0o644)
	if got := <-heard; len(got) != 1 || got[0] != conf {
		t.Errorf("rewritten: %v", got)
	}
	if err := os.Remove(p.binary()); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; len(got) != 1 || got[0] != p.binary() {
		t.Errorf("removed: %v", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func FuzzInsert(f *testing.F) {
	f.Add(list)
	f.Add(`{"plugins":[{"type":"a"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		with, err := Insert([]byte(text), "heddle-cni", []byte(entry))
		if err == nil && json.Valid([]byte(text)) && (!json.Valid(with) || !Has(with, "heddle-cni")) {
			t.Errorf("%q becomes %q", text, with)
		}
	})
}
