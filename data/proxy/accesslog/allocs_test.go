//go:build !race

package accesslog

import "testing"

type fixed struct{}

func (fixed) Get(string) ([]byte, bool) { return nil, false }

func TestALineDoesNotAllocate(t *testing.T) {
	f, err := Text(DefaultText, false)
	if err != nil {
		t.Fatal(err)
	}
	r := sample()
	r.Request, r.Response = fixed{}, fixed{}
	b := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { b = f.Append(b[:0], r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
