package file

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
)

func entry(name, host string) string {
	return fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: %s, namespace: shop}\nspec: {hosts: [%s], ports: [{number: 80, name: http, protocol: HTTP}]}\n", name, host)
}

func ref(name string) api.Ref {
	return api.Ref{Group: api.GroupNetworking, Kind: "ServiceEntry", Namespace: "shop", Name: name}
}

type folder struct {
	t     *testing.T
	dir   string
	store *config.Store
}

func start(t *testing.T, dir string) *folder {
	t.Helper()
	store := config.New(Name)
	src, err := New(dir, store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); src.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	<-store.Complete()
	return &folder{t, dir, store}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (f *folder) write(name, text string) { f.t.Helper(); write(f.t, filepath.Join(f.dir, name), text) }

func (f *folder) host(name string) string {
	e, ok := f.store.Get(ref(name))
	if !ok {
		return ""
	}
	return strings.Join(e.Object.Spec.(interface{ GetHosts() []string }).GetHosts(), ",")
}

// wait polls, since the folder is watched in its own time.
func (f *folder) wait(what string, ok func() bool) {
	f.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatalf("%s did not happen; complaints: %v", what, f.store.Complaints())
		}
	}
}

func (f *folder) complaint(text string) bool {
	for _, p := range f.store.Complaints() {
		if strings.Contains(p.String(), text) {
			return true
		}
	}
	return false
}

func TestFolderIsFollowed(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), entry("a", "a.com")+"---\n"+entry("b", "b.com"))
	write(t, filepath.Join(dir, "c.json"), `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"c","namespace":"shop"},"spec":{"hosts":["c.com"],"ports":[{"number":80,"name":"http"}]}}`)
	write(t, filepath.Join(dir, "notes.txt"), "not read")
	f := start(t, dir)
	if f.host("a") != "a.com" || f.host("b") != "b.com" || f.host("c") != "c.com" || f.store.Len() != 3 {
		t.Fatalf("%d objects; %v", f.store.Len(), f.store.Complaints())
	}
	f.write("a.yaml", entry("a", "changed.com"))
	f.wait("a change and the removal of a document", func() bool { return f.host("a") == "changed.com" && f.host("b") == "" })
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	f.write("sub/d.yml", entry("d", "d.com"))
	f.wait("a file in a new subfolder", func() bool { return f.host("d") == "d.com" })
	os.Remove(filepath.Join(dir, "c.json"))
	f.wait("the removal of a file", func() bool { return f.host("c") == "" })
}

func TestBrokenFileKeepsItsObjects(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), entry("a", "a.com"))
	write(t, filepath.Join(dir, "other.yaml"), entry("o", "o.com"))
	f := start(t, dir)
	f.write("a.yaml", entry("a", "a2.com")+"---\n{ broken: [\n")
	f.wait("the complaint", func() bool { return f.complaint("a.yaml") })
	if f.host("a") != "a.com" {
		t.Errorf("a broken file changed its object to %q", f.host("a"))
	}
	f.write("other.yaml", entry("o", "o2.com"))
	f.wait("a change of another file", func() bool { return f.host("o") == "o2.com" })
	f.write("a.yaml", entry("a", "a3.com"))
	f.wait("the repair", func() bool { return f.host("a") == "a3.com" && !f.complaint("a.yaml") })
	// An unknown kind is told, and the rest of the file counts.
	f.write("a.yaml", entry("a", "a4.com")+"---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n")
	f.wait("an unknown kind", func() bool { return f.host("a") == "a4.com" && f.complaint("Deployment") })
	// A mistake within one object stays with the object.
	f.write("a.yaml", strings.Replace(entry("a", "a5.com"), "hosts:", "hots:", 1))
	f.wait("a mistake in an object", func() bool {
		e, _ := f.store.Get(ref("a"))
		return e != nil && !api.Valid(e.Problems) && strings.Contains(e.Problems[0].Field, "hots")
	})
}

func TestMountedConfigMapSwap(t *testing.T) {
	dir := t.TempDir()
	for i, host := range []string{"one.com", "two.com"} {
		v := filepath.Join(dir, fmt.Sprintf("..v%d", i))
		if err := os.Mkdir(v, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(v, "a.yaml"), entry("a", host))
	}
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..v0", "..data")
	link("..data/a.yaml", "a.yaml")
	f := start(t, dir)
	if f.host("a") != "one.com" {
		t.Fatal(f.host("a"), f.store.Complaints())
	}
	link("..v1", "..data_tmp")
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	f.wait("the swap", func() bool { return f.host("a") == "two.com" })
}

func TestSameObjectTwice(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), entry("a", "first.com")+"---\n"+entry("a", "second.com"))
	write(t, filepath.Join(dir, "b.yaml"), entry("a", "third.com"))
	f := start(t, dir)
	if f.host("a") != "first.com" || !f.complaint("a.yaml:6") || !f.complaint("b.yaml:1") {
		t.Errorf("%s; %v", f.host("a"), f.store.Complaints())
	}
}

func TestMissingFolder(t *testing.T) {
	_, err := New(filepath.Join(t.TempDir(), "nothing"), config.New(), nil)
	if err == nil || !strings.Contains(err.Error(), "--config-dir") {
		t.Error(err)
	}
	// A folder that goes away later keeps what it held.
	dir := filepath.Join(t.TempDir(), "conf")
	os.Mkdir(dir, 0o755)
	write(t, filepath.Join(dir, "a.yaml"), entry("a", "a.com"))
	f := start(t, dir)
	os.Rename(dir, dir+".old")
	f.wait("the complaint", func() bool { return f.complaint("cannot be read") })
	if f.host("a") != "a.com" {
		t.Error("the objects went with the folder")
	}
	os.Rename(dir+".old", dir)
	f.wait("the return", func() bool { return len(f.store.Complaints()) == 0 })
}
