package codec_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// TestFieldsAgainstModel makes random edits on Fields and on a plain list, which must stay equal.
func TestFieldsAgainstModel(t *testing.T) {
	names := []codec.Name{codec.MakeName("a"), codec.MakeName("b"), codec.MakeName("x-long-name"), codec.Host}
	type pair struct{ name, value string }
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		var f codec.Fields
		var model []pair
		drop := func(n string, from int) (out []pair) {
			for i, p := range model {
				if i < from || p.name != n {
					out = append(out, p)
				}
			}
			return out
		}
		for range 40 {
			n := names[r.IntN(len(names))]
			v := strings.Repeat("v", r.IntN(5)) + n.String()
			at := slices.IndexFunc(model, func(p pair) bool { return p.name == n.String() })
			switch r.IntN(5) {
			case 0:
				f.AddString(n, v)
				model = append(model, pair{n.String(), v})
			case 1:
				f.Set(n, []byte(v))
				if at < 0 {
					model = append(model, pair{n.String(), v})
				} else {
					model[at].value = v
					model = drop(n.String(), at+1)
				}
			case 2:
				if f.Del(n) != (at >= 0) {
					t.Fatal("Del does not tell what it found")
				}
				model = drop(n.String(), 0)
			case 3:
				f.Append(n, ",", []byte(v))
				for i, p := range model { // the last of the name
					if p.name == n.String() {
						at = i
					}
				}
				switch {
				case at < 0:
					model = append(model, pair{n.String(), v})
				case model[at].value == "":
					model[at].value = v
				default:
					model[at].value += "," + v
				}
			case 4:
				var g codec.Fields
				g.CopyFrom(&f)
				f = g
			}
			var got []pair
			for i := range f.Slots() {
				if name, value, ok := f.At(i); ok {
					got = append(got, pair{string(name), string(value)})
				}
			}
			if !slices.Equal(got, model) || f.Len() != len(model) {
				t.Fatalf("seed %d: %v, want %v", seed, got, model)
			}
			value, ok := f.Value(n)
			at = slices.IndexFunc(model, func(p pair) bool { return p.name == n.String() })
			if ok != (at >= 0) || ok && string(value) != model[at].value {
				t.Fatalf("seed %d: Value(%s) = %q, %t", seed, n, value, ok)
			}
		}
	}
}

func TestFlagsKeepTheirOrder(t *testing.T) {
	f := codec.Flags(0).With(codec.FlagUpstreamRetryLimitExceeded).With(codec.FlagUpstreamConnectionFailure).With(codec.FlagUpstreamRetryLimitExceeded)
	if f.String() != "URX,UF" || !f.Has(codec.FlagUpstreamConnectionFailure) || f.Has(codec.FlagNoRoute) {
		t.Errorf("flags %q", f)
	}
	if codec.ParseFlag("UF") != codec.FlagUpstreamConnectionFailure || codec.ParseFlag("??") != codec.NoFlag {
		t.Error("ParseFlag")
	}
	for i := codec.FlagNoHealthyUpstream; i <= codec.FlagOverloadManager; i++ {
		if codec.ParseFlag(i.String()) != i {
			t.Errorf("flag %d: %s", i, i)
		}
	}
}

func TestHead(t *testing.T) {
	var h codec.Head
	h.Reset()
	h.SetMethod([]byte("HEAD"))
	h.SetPath([]byte("/a/b?c=d"))
	h.SetAuthorityString("host:80")
	h.Add(codec.Via, []byte("1.1 x"))
	h.Add(codec.Via, []byte("1.1 y"))
	if h.Kind != codec.HEAD || string(h.PathOnly()) != "/a/b" || h.Length != -1 {
		t.Errorf("%v %s", h.Kind, h.PathOnly())
	}
	v, _, _ := h.Joined(codec.Via, nil)
	if string(v) != "1.1 x,1.1 y" || h.Count(codec.Via) != 2 {
		t.Errorf("joined %q", v)
	}
	if p, ok := h.Get(":authority"); !ok || string(p) != "host:80" {
		t.Errorf("authority %q", p)
	}
	if _, ok := h.Get(":scheme"); ok {
		t.Error("no scheme was set")
	}
}

func TestStrangeHost(t *testing.T) {
	for _, h := range []string{"", "a", "a.test", "A.Test.", "a_b.test", "a.test:80", "a.test:", "10.0.0.1:80", "[::1]", "[::1]:80", "[fe80::1%25eth0]", "%66.test", "a!$&'()*+;=~b", "*.test"} {
		if codec.StrangeHost([]byte(h)) {
			t.Errorf("%q is strange", h)
		}
	}
	for _, h := range []string{":80", "::1", "a:b", "a:-1", "a:80:80", "[::1", "[::1]a", "[::1]:x", "[a]b.test", "a b", "a\tb", "a\x00", "a@b", "a/b", "a?b", "a#b", "a\\b", "a,b", "a\"b", "a<b>", "a|b", "a^b", "a`b", "{a}", "a\x7f",
		"a\x80", "é.test", "[::1@]", "[a/b]"} {
		if !codec.StrangeHost([]byte(h)) {
			t.Errorf("%q is not strange", h)
		}
	}
}
