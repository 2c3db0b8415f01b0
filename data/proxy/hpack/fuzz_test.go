package hpack

import (
	"bytes"
	"errors"
	"testing"

	reference "golang.org/x/net/http2/hpack"
)

// FuzzDecode compares with the decoder of golang.org/x/net on two blocks of one connection. Ours refuses more: updates in the middle of a block whose table is empty, more
// than two of them, and integers and strings that are larger than anyone needs. It refuses the second of two updates that a block begins with, which RFC 7541 section 4.2
// allows, when its table is not empty.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff", "\x40\x0acustom-key\x0dcustom-header\xbe", "\x20\x3f\xe1\x1f\x82", "\x10\x08password\x06secret",
		"\x3f\x45\x82\x20", "\xff\x80\x80\x80", "\x40\x01\x61\x84\xff\xff\xff\xff"} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		if cut < 0 || cut > len(b) {
			cut = len(b)
		}
		d := newDecoder(4096)
		var theirs string
		ref := reference.NewDecoder(4096, func(f reference.HeaderField) { theirs += written(f) })
		ref.SetMaxStringLength(1 << 16)
		for i, block := range [][]byte{b[:cut], b[cut:]} {
			theirs = ""
			ours, err := show(d, block, 0)
			_, refErr := ref.Write(block)
			if refErr == nil {
				refErr = ref.Close()
			}
			stricter := errors.Is(err, ErrUpdate) || errors.Is(err, ErrInteger) || errors.Is(err, ErrString)
			if err == nil && refErr != nil && updates(block) > 1 {
				return
			}
			if (err == nil) != (refErr == nil) && !stricter {
				t.Fatalf("block %d: %v, the other decoder %v", i, err, refErr)
			}
			if err != nil {
				return
			}
			if ours != theirs {
				t.Fatalf("block %d: %q, the other decoder %q", i, ours, theirs)
			}
			if d.TableSize() > 4096 {
				t.Fatalf("table of %d bytes", d.TableSize())
			}
		}
		again := newDecoder(4096)
		for _, block := range [][]byte{b[:cut], b[cut:]} { // in single bytes it means the same
			if _, err := show(again, block, 1); err != nil {
				t.Fatalf("in single bytes: %v", err)
			}
		}
		if again.TableSize() != d.TableSize() {
			t.Fatal("in single bytes the table is another one")
		}
	})
}

// updates is the number of table size updates that a block begins with.
func updates(block []byte) (n int) {
	for len(block) > 0 && block[0]&0xe0 == 0x20 {
		long := block[0]&0x1f == 0x1f
		for block = block[1:]; long && len(block) > 0; block = block[1:] {
			long = block[0]&0x80 != 0
		}
		n++
	}
	return n
}

// FuzzRoundTrip sends fields made of the input through an encoder and a decoder, in two blocks, with a small table.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("a\x00b\x00a\x00b\x00cookie\x00x=y\x00cookie\x00x=y"), uint16(100))
	f.Add([]byte(":path\x00/\x00:path\x00/b\x00:path\x00/b\x00authorization\x00me"), uint16(4096))
	f.Fuzz(func(t *testing.T, in []byte, table uint16) {
		var e Encoder
		e.Init(uint32(table), false)
		d := newDecoder(4096)
		pieces := bytes.Split(in, []byte{0})
		for range 2 {
			b := e.Begin(nil)
			var want lines
			for i := 0; i+1 < len(pieces); i += 2 {
				at := len(b)
				b = e.Append(b, pieces[i], pieces[i+1], i%5 == 4)
				never := b[at]&0xf0 == 0x10
				if i%5 == 4 && !never {
					t.Fatal("what must never be indexed was")
				}
				want.Field(pieces[i], pieces[i+1], never)
			}
			got, err := show(d, b, 0)
			if err != nil || got != want.String() || d.TableSize() != e.TableSize() {
				t.Fatalf("%v: %q, want %q", err, got, want.String())
			}
		}
	})
}
