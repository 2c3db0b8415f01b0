package headers

import (
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/accesslog"
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

func dump(f *codec.Fields) string {
	var b strings.Builder
	for i := range f.Slots() {
		if n, v, ok := f.At(i); ok {
			b.WriteString(string(n) + "=" + string(v) + ";")
		}
	}
	return b.String()
}

func TestEdits(t *testing.T) {
	format, err := accesslog.Text("%PROTOCOL%", false)
	if err != nil {
		t.Fatal(err)
	}
	var h codec.Head
	h.Reset()
	for _, p := range [][2]string{{"x-set", "old"}, {"x-add", "old"}, {"x-gone", "1"}, {"x-gone", "2"}, {"x-there", "old"}, {"content-length", "5"}} {
		h.AddString(codec.MakeName(p[0]), p[1])
	}
	e := &config.HeaderEdits{
		RequestRemove: []string{"x-gone", "content-length", ":path"},
		Request: []config.HeaderSet{
			{Name: "x-set", Value: "new", Action: config.OverwriteOrAdd}, {Name: "x-add", Value: "new"}, {Name: "x-there", Value: "new", Action: config.OverwriteIfExists},
			{Name: "x-absent", Value: "new", Action: config.OverwriteIfExists}, {Name: "x-there", Value: "never", Action: config.AddIfAbsent},
			{Name: "x-new", Value: "new", Action: config.AddIfAbsent}, {Name: "x-empty", Value: ""}, {Name: "x-kept", Value: "", KeepEmpty: true},
			{Name: "host", Value: "evil", Action: config.OverwriteOrAdd}, {Name: "x-proto", Format: format},
		},
	}
	Request(&h, e, func() *accesslog.Record { return &accesslog.Record{Protocol: "HTTP/1.1"} })
	want := "x-set=new;x-add=old;x-there=new;content-length=5;x-add=new;x-new=new;x-kept=;x-proto=HTTP/1.1;"
	if got := dump(&h.Fields); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
