// Package codec is the vocabulary in which versions of HTTP meet: message heads, fields, and the calls by which one half of an exchange tells the other.
//
// In: what a parser found. Out: the same, to be read and edited by filters and written by another codec. Values belong to one worker; nothing here is safe for
// concurrent use except Name, which is immutable.
package codec

import "strconv"

// Name is a field name in lower case with its hash, made once when configuration is built.
type Name struct {
	text string
	hash uint32
}

// MakeName makes a Name of text in lower case.
func MakeName(text string) Name { return Name{text, HashOf(text)} }

// String is the name in lower case.
func (n Name) String() string { return n.text }

// HashSeed and HashStep define the hash of names (FNV-1a), for parsers that hash while they validate.
const (
	HashSeed = 2166136261
	HashStep = 16777619
)

// HashOf hashes a name in lower case.
func HashOf(text string) uint32 {
	h := uint32(HashSeed)
	for i := 0; i < len(text); i++ {
		h = (h ^ uint32(text[i])) * HashStep
	}
	return h
}

// span is a piece of the buffer.
type span struct{ off, len uint32 }

type field struct {
	name, value span
	hash        uint32
	gone        bool
	secret      bool
}

// Fields are header or trailer fields in order, as pieces of one buffer. Names are in lower case. Edits append to the buffer.
type Fields struct {
	buf  []byte
	list []field
	gone int
}

// Reset empties the fields and keeps the memory.
func (f *Fields) Reset() { f.buf, f.list, f.gone = f.buf[:0], f.list[:0], 0 }

// Len is the number of fields.
func (f *Fields) Len() int { return len(f.list) - f.gone }

// Bytes is the approximate size on the wire of all names and values.
func (f *Fields) Bytes() (n int) {
	for i := range f.list {
		if e := &f.list[i]; !e.gone {
			n += int(e.name.len + e.value.len)
		}
	}
	return n
}

// Slots bounds the index of At.
func (f *Fields) Slots() int { return len(f.list) }

// At is the field in slot i; ok is false for one that was removed. The slices die with the next Reset.
func (f *Fields) At(i int) (name, value []byte, ok bool) {
	e := &f.list[i]
	return f.piece(e.name), f.piece(e.value), !e.gone
}

func (f *Fields) piece(s span) []byte { return f.buf[s.off : s.off+s.len : s.off+s.len] }

func (f *Fields) find(n Name, from int) int {
	for i := from; i < len(f.list); i++ {
		if e := &f.list[i]; e.hash == n.hash && !e.gone && string(f.piece(e.name)) == n.text {
			return i
		}
	}
	return -1
}

// Value is the first value of a name.
func (f *Fields) Value(n Name) ([]byte, bool) {
	if i := f.find(n, 0); i >= 0 {
		return f.piece(f.list[i].value), true
	}
	return nil, false
}

// Has says whether there is a field of the name.
func (f *Fields) Has(n Name) bool { return f.find(n, 0) >= 0 }

// Count is the number of fields of a name.
func (f *Fields) Count(n Name) (count int) {
	for i := f.find(n, 0); i >= 0; i = f.find(n, i+1) {
		count++
	}
	return count
}

// Joined is the values of a name with commas in between (RFC 9110 section 5.3); scratch is used when there are several.
func (f *Fields) Joined(n Name, scratch []byte) (value, grown []byte, ok bool) {
	i := f.find(n, 0)
	if i < 0 {
		return nil, scratch, false
	}
	next := f.find(n, i+1)
	if next < 0 {
		return f.piece(f.list[i].value), scratch, true
	}
	at := len(scratch)
	scratch = append(scratch, f.piece(f.list[i].value)...)
	for ; next >= 0; next = f.find(n, next+1) {
		scratch = append(append(scratch, ','), f.piece(f.list[next].value)...)
	}
	return scratch[at:], scratch, true
}

// put appends bytes to the buffer.
func put[T string | []byte](f *Fields, v T) span {
	s := span{uint32(len(f.buf)), uint32(len(v))}
	f.buf = append(f.buf, v...)
	return s
}

// Add appends a field.
func (f *Fields) Add(n Name, value []byte) {
	f.list = append(f.list, field{name: put(f, n.text), value: put(f, value), hash: n.hash})
}

// AddString appends a field.
func (f *Fields) AddString(n Name, value string) {
	f.list = append(f.list, field{name: put(f, n.text), value: put(f, value), hash: n.hash})
}

// AddRaw appends a field by its lower-case name.
func (f *Fields) AddRaw(name, value []byte) {
	h := uint32(HashSeed)
	for _, c := range name {
		h = (h ^ uint32(c)) * HashStep
	}
	f.list = append(f.list, field{name: put(f, name), value: put(f, value), hash: h})
}

// Conceal marks the field in slot i as one that no hop may put into a compression table (RFC 7541 section 7.1.3).
func (f *Fields) Conceal(i int) { f.list[i].secret = true }

// Concealed says whether the field in slot i is marked so.
func (f *Fields) Concealed(i int) bool { return f.list[i].secret }

// Set replaces the first field of the name and removes the others, or appends.
func (f *Fields) Set(n Name, value []byte) { setIn(f, n, value) }

// SetString is Set.
func (f *Fields) SetString(n Name, value string) { setIn(f, n, value) }

// SetInt is Set with a decimal number.
func (f *Fields) SetInt(n Name, value int64) {
	var b [20]byte
	setIn(f, n, strconv.AppendInt(b[:0], value, 10))
}

func setIn[T string | []byte](f *Fields, n Name, value T) {
	i := f.find(n, 0)
	if i < 0 {
		f.list = append(f.list, field{name: put(f, n.text), value: put(f, value), hash: n.hash})
		return
	}
	f.list[i].value = put(f, value)
	for i = f.find(n, i+1); i >= 0; i = f.find(n, i+1) {
		f.remove(i)
	}
}

// Del removes all fields of the name and says whether there was one.
func (f *Fields) Del(n Name) (found bool) {
	for i := f.find(n, 0); i >= 0; i = f.find(n, i+1) {
		f.remove(i)
		found = true
	}
	return found
}

// DelAt removes the field in slot i.
func (f *Fields) DelAt(i int) {
	if !f.list[i].gone {
		f.remove(i)
	}
}

func (f *Fields) remove(i int) {
	f.list[i].gone = true
	f.gone++
}

// Append adds to the value of the last field of the name, behind a separator, or appends a field: what is appended is the end of the list, however many fields it has
// (RFC 9110 section 5.3).
func (f *Fields) Append(n Name, separator string, value []byte) {
	i := f.find(n, 0)
	if i < 0 {
		f.Add(n, value)
		return
	}
	for next := f.find(n, i+1); next >= 0; next = f.find(n, i+1) {
		i = next
	}
	old := f.piece(f.list[i].value)
	if len(old) == 0 {
		f.list[i].value = put(f, value)
		return
	}
	s := put(f, old)
	f.buf = append(append(f.buf, separator...), value...)
	s.len = uint32(len(f.buf)) - s.off
	f.list[i].value = s
}

// CopyFrom makes f a copy of g.
func (f *Fields) CopyFrom(g *Fields) {
	f.buf = append(f.buf[:0], g.buf...)
	f.list = append(f.list[:0], g.list...)
	f.gone = g.gone
}

// AddFolded appends a field whose name may have capitals.
func (f *Fields) AddFolded(name, value []byte) {
	s := span{uint32(len(f.buf)), uint32(len(name))}
	h := uint32(HashSeed)
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		h = (h ^ uint32(c)) * HashStep
		f.buf = append(f.buf, c)
	}
	f.list = append(f.list, field{name: s, value: put(f, value), hash: h})
}
