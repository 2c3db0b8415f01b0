package hpack

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	reference "golang.org/x/net/http2/hpack"
)

// text writes fields down, one a line.
type lines struct{ strings.Builder }

func (l *lines) Field(name, value []byte, never bool) {
	fmt.Fprintf(l, "%s: %s", name, value)
	if never {
		l.WriteString(" (never)")
	}
	l.WriteByte('\n')
}

func newDecoder(table uint32) *Decoder {
	d := &Decoder{}
	d.Init(table, 1<<16, &Scratch{})
	return d
}

// show decodes a block in pieces of step bytes (0: whole).
func show(d *Decoder, block []byte, step int) (string, error) {
	var out lines
	if step == 0 {
		step = len(block) + 1
	}
	var kept []byte
	for {
		n := min(step, len(block))
		kept = append(kept, block[:n]...)
		block = block[n:]
		used, err := d.Decode(kept, len(block) == 0, &out)
		if err != nil || len(block) == 0 {
			return out.String(), err
		}
		kept = append([]byte(nil), kept[used:]...)
	}
}

func TestExamplesOfTheRFC(t *testing.T) {
	for _, step := range []int{0, 1, 3} {
		examples(t, step)
	}
}

func examples(t *testing.T, step int) {
	file, err := os.Open("testdata/rfc7541.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var d *Decoder
	var got, want, block string
	blocks := 0
	for s := bufio.NewScanner(file); s.Scan(); {
		word, rest, _ := strings.Cut(s.Text(), " ")
		switch word {
		case "", "#":
		case "table":
			var n uint32
			_, _ = fmt.Sscan(rest, &n)
			d = newDecoder(n)
		case "block":
			b, err := hex.DecodeString(rest)
			if err != nil {
				t.Fatal(err)
			}
			if got, err = show(d, b, step); err != nil {
				t.Fatalf("%s: %v", rest, err)
			}
			block, want = rest, ""
			blocks++
		case "size":
			if got != want || fmt.Sprint(d.TableSize()) != rest {
				t.Errorf("block %s:\n%ssize %d\nwant\n%ssize %s", block, got, d.TableSize(), want, rest)
			}
		default:
			want += s.Text() + "\n"
		}
	}
	if blocks != 16 {
		t.Errorf("%d blocks, want 16", blocks)
	}
}

func TestRequestsOfTheRFCAreWrittenAsThere(t *testing.T) {
	var e Encoder
	e.Init(4096, false)
	for _, tt := range []struct{ fields, want string }{
		{":method GET :scheme http :path / :authority www.example.com", "828684418cf1e3c2e5f23a6ba0ab90f4ff"},
		{":method GET :scheme http :path / :authority www.example.com cache-control no-cache", "828684be5886a8eb10649cbf"},
		{":method GET :scheme https :path /index.html :authority www.example.com custom-key custom-value", "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"},
	} {
		if got := hex.EncodeToString(encode(&e, tt.fields)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.fields, got, tt.want)
		}
	}
	if e.TableSize() != 164 {
		t.Errorf("table of %d bytes, want 164", e.TableSize())
	}
}

// encode writes a block of "name value name value ...".
func encode(e *Encoder, fields string) []byte {
	b := e.Begin(nil)
	words := strings.Fields(fields)
	for i := 0; i < len(words); i += 2 {
		b = e.Append(b, []byte(words[i]), []byte(words[i+1]), false)
	}
	return b
}

func TestBrokenBlocks(t *testing.T) {
	long := strings.Repeat("00", 70000)
	for name, tt := range map[string]struct {
		block string
		want  error
	}{
		"index 0":                           {"80", ErrIndex},
		"index behind the table":            {"be", ErrIndex},
		"name behind the table":             {"7e0161", ErrIndex},
		"name index 0 is a literal":         {"40", ErrTruncated},
		"integer without end":               {"ff8080808080", ErrInteger},
		"integer too large":                 {"ffffffffff7f", ErrInteger},
		"integer cut":                       {"ff80", ErrTruncated},
		"string cut":                        {"82400361", ErrTruncated},
		"string too long":                   {"4001617ff1ff03" + long, ErrString},
		"string too long before it is here": {"4001617ff1ff03", ErrString},
		"update behind a field":             {"8220", ErrUpdate},
		"update above the limit":            {"3fe21f", ErrUpdate}, // 4097
		"update at the limit":               {"3fe11f82", nil},
		"three updates":                     {"203fe11f3fe11f", ErrUpdate},
		"two updates":                       {"203fe11f82", nil},
		"update cut":                        {"3f", ErrTruncated},
		"padding of eight bits":             {"400161821fff", ErrHuffman}, // a, then eight bits
		"padding of zeros":                  {"4001618118", ErrHuffman},
		"padding of seven bits is good":     {"40016182f8ff", ErrHuffman},
		"end of string":                     {"40016184ffffffff", ErrHuffman},
		"end of string behind a":            {"400161851fffffffff", ErrHuffman},
		"empty Huffman string is good":      {"40016180", nil},
		"nothing is a block":                {"", nil},
	} {
		b, err := hex.DecodeString(tt.block)
		if err != nil {
			t.Fatal(name, err)
		}
		for _, step := range []int{0, 1} {
			if _, err := show(newDecoder(4096), b, step); !errors.Is(err, tt.want) {
				t.Errorf("%s, in steps of %d: %v, want %v", name, step, err, tt.want)
			}
		}
	}
}

func TestALoweredLimitMustBeObeyed(t *testing.T) {
	d := newDecoder(4096)
	d.SetLimit(100)
	if _, err := show(d, []byte{0x82}, 0); !errors.Is(err, ErrNoUpdate) {
		t.Errorf("a block without an update: %v", err)
	}
	d = newDecoder(4096)
	d.SetLimit(100)
	if _, err := show(d, nil, 0); !errors.Is(err, ErrNoUpdate) {
		t.Errorf("an empty block without an update: %v", err)
	}
	d = newDecoder(4096)
	d.SetLimit(100)
	if _, err := show(d, []byte{0x3f, 101 - 31, 0x82}, 0); !errors.Is(err, ErrUpdate) {
		t.Errorf("an update above the new limit: %v", err)
	}
	d = newDecoder(4096)
	d.SetLimit(100)
	if _, err := show(d, []byte{0x3f, 100 - 31, 0x82}, 0); err != nil {
		t.Errorf("an update: %v", err)
	}
	d = newDecoder(4096)
	d.SetLimit(8192)
	if _, err := show(d, []byte{0x3f, 0xe1, 0x3f, 0x82}, 0); err != nil {
		t.Errorf("a raised limit: %v", err)
	}
}

// TestAChangeOfTheLimitIsTold follows RFC 7541 section 4.2: the smallest limit since the last block, then the last one.
func TestAChangeOfTheLimitIsTold(t *testing.T) {
	var e Encoder
	e.Init(4096, false)
	if b := encode(&e, "custom-key custom-value"); b[0] != 0x40 || e.TableSize() == 0 {
		t.Errorf("first block %x", b)
	}
	e.SetLimit(0)
	e.SetLimit(1 << 20)
	b := encode(&e, "custom-key custom-value")
	if !bytes.HasPrefix(b, []byte{0x20, 0x3f, 0xe1, 0x1f, 0x40}) {
		t.Errorf("after two changes: %x", b)
	}
	e.SetLimit(60)
	b = encode(&e, "a b custom-key custom-value")
	if !bytes.HasPrefix(b, []byte{0x3f, 60 - 31, 0x40}) || e.TableSize() != 34 {
		t.Errorf("after a smaller one: %x, table of %d bytes", b, e.TableSize())
	}
	e.Init(100, false)
	if b := encode(&e, ":method GET"); !bytes.Equal(b, []byte{0x3f, 69, 0x82}) {
		t.Errorf("an own limit below the protocol's: %x", b)
	}
}

// TestWhatGoesIntoTheTable is the encoder's policy.
func TestWhatGoesIntoTheTable(t *testing.T) {
	var e Encoder
	e.Init(4096, false)
	long := strings.Repeat("x", 30)
	for _, tt := range []struct {
		why, fields string
		first       byte // of the block
	}{
		{"a new name goes in", "x-a 1", 0x40},
		{"and is found", "x-a 1", 0x80 | 62},
		{"another value waits", "x-a 2", 0x0f}, // literal without indexing, name 62
		{"until it comes again", "x-a 2", 0x40 | 62},
		{"and is found", "x-a 2", 0x80 | 62},
		{"paths wait", ":path /a", 0x04},
		{"until they come again", ":path /a", 0x44},
		{"an authority does not", ":authority a", 0x41},
		{"authorization never goes in", "authorization " + long, 0x1f},
		{"nor when it comes again", "authorization " + long, 0x1f},
		{"nor for proxies", "proxy-authorization " + long, 0x1f},
		{"a short cookie never goes in", "cookie a=b", 0x1f},
		{"a long one waits", "cookie a=" + long, 0x0f},
		{"until it comes again", "cookie a=" + long, 0x60},
		{"what would fill the table stays out", "x-big " + strings.Repeat("x", 3500), 0x00},
	} {
		if b := encode(&e, tt.fields); b[0] != tt.first {
			t.Errorf("%s: %s begins with %#x, want %#x", tt.why, tt.fields, b[0], tt.first)
		}
	}
	b := e.Append(nil, []byte("x-a"), []byte("2"), true)
	if b[0]&0xf0 != 0x10 {
		t.Errorf("what must never be indexed begins with %#x", b[0])
	}
}

// fieldPool makes fields that repeat, as those of a connection do.
func randomField(r *rand.Rand) (name, value []byte, never bool) {
	names := []string{":method", ":path", ":status", "accept", "cookie", "date", "x-request-id", "x-a", "x-b", "authorization", "", "grpc-status", "über"}
	values := []string{"", "GET", "/", "200", "a", "gzip, deflate", strings.Repeat("0123456789", 30), "\x00\xff\x80", "Mon, 21 Oct 2013 20:13:21 GMT"}
	n, v := names[r.IntN(len(names))], values[r.IntN(len(values))]
	switch r.IntN(4) {
	case 0:
		v += fmt.Sprint(r.IntN(1000))
	case 1:
		n += fmt.Sprint(r.IntN(40))
	}
	return []byte(n), []byte(v), r.IntN(20) == 0
}

// TestConnections sends random fields over a long connection, with changing limits, to our decoder and to that of golang.org/x/net.
func TestConnections(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		var e Encoder
		e.Init(4096, seed%2 == 1)
		d := newDecoder(4096)
		var theirs string
		ref := reference.NewDecoder(4096, func(f reference.HeaderField) { theirs += written(f) })
		for range 200 {
			if r.IntN(20) == 0 {
				n := []uint32{0, 50, 300, 4096, 10000}[r.IntN(5)]
				e.SetLimit(n)
				d.SetLimit(min(n, 4096))
				ref.SetAllowedMaxDynamicTableSize(n)
			}
			var want lines
			b := e.Begin(nil)
			for range r.IntN(12) {
				n, v, never := randomField(r)
				at := len(b)
				b = e.Append(b, n, v, never)
				if b[at]&0xf0 == 0x10 && !never && len(v) >= guessable && !bytes.HasPrefix(n, []byte("authorization")) {
					t.Fatalf("%q: %q is never indexed", n, v)
				}
				want.Field(n, v, b[at]&0xf0 == 0x10)
			}
			got, err := show(d, b, r.IntN(5))
			if err != nil || got != want.String() {
				t.Fatalf("seed %d: %v, %q, want %q", seed, err, got, want.String())
			}
			theirs = ""
			if _, err := ref.Write(b); err != nil || ref.Close() != nil || theirs != want.String() {
				t.Fatalf("seed %d: the other decoder: %v, %q, want %q", seed, err, theirs, want.String())
			}
			if d.TableSize() != e.TableSize() || e.TableSize() > int(e.table.max) {
				t.Fatalf("seed %d: tables of %d and %d bytes", seed, d.TableSize(), e.TableSize())
			}
		}
	}
}

func written(f reference.HeaderField) string {
	var l lines
	l.Field([]byte(f.Name), []byte(f.Value), f.Sensitive)
	return l.String()
}

// TestHuffmanAgainstReference compares every byte and random strings.
func TestHuffmanAgainstReference(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		s := []byte{byte(i)}
		if i > 255 {
			s = make([]byte, r.IntN(50))
			for j := range s {
				s[j] = byte(r.Uint32())
			}
		}
		got := appendHuffman(nil, s)
		if want := reference.AppendHuffmanString(nil, string(s)); !bytes.Equal(got, want) || len(got) != encodedLen(s) {
			t.Fatalf("%q: %x, want %x", s, got, want)
		}
		back, err := appendDecoded([]byte("x"), got, len(s))
		if err != nil || string(back) != "x"+string(s) {
			t.Fatalf("%q came back as %q, %v", s, back, err)
		}
		if len(s) > 0 {
			if _, err := appendDecoded(nil, got, len(s)-1); !errors.Is(err, ErrString) {
				t.Fatalf("%q above the limit: %v", s, err)
			}
		}
	}
}
