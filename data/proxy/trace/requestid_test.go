package trace

import (
	"regexp"
	"testing"
)

func TestPutID(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for _, w := range []uint64{0, 1<<64 - 1, 0x0123456789abcdef} {
		var b [IDSize]byte
		if PutID(&b, w, ^w); !form.Match(b[:]) {
			t.Errorf("%x: %s", w, b)
		}
	}
	var b [IDSize]byte
	if PutID(&b, 0x0123456789abcdef, 0x0123456789abcdef); string(b[:]) != "01234567-89ab-4def-8123-456789abcdef" {
		t.Errorf("%s", b)
	}
}
