package hpack

import "bytes"

// entry is a field of a table, as a piece of its bytes.
type entry struct {
	at          uint32 // of the name, among all bytes that were ever put into the table; wraps
	name, value uint32 // lengths
	hash, key   uint32 // of name and value, and of the name: an encoder's
}

// table is a dynamic table (RFC 7541 section 2.3.2): a queue of fields whose bytes lie in one buffer. Entries have serial numbers, which wrap.
type table struct {
	buf     []byte
	lo, hi  uint32  // the part of buf in use
	base    uint32  // serial number of buf[0]
	entries []entry // a ring; its length is a power of two
	next    uint32  // serial number of the next entry
	count   uint32
	size    uint32 // with the overhead
	max     uint32
}

func (t *table) entry(serial uint32) *entry { return &t.entries[serial&uint32(len(t.entries)-1)] }

// live says whether the entry of the serial number is still here.
func (t *table) live(serial uint32) bool { return t.next-serial-1 < t.count }

func (t *table) field(e *entry) (name, value []byte) {
	p := e.at - t.base
	v := p + e.name
	return t.buf[p:v:v], t.buf[v : v+e.value : v+e.value]
}

// is compares an entry with a field.
func (t *table) is(e *entry, name, value []byte) bool {
	n, v := t.field(e)
	return bytes.Equal(v, value) && bytes.Equal(n, name)
}

// resize sets the maximum and evicts what is too much.
func (t *table) resize(n uint32) {
	t.max = n
	t.fit(0)
}

// fit evicts until there is room for an entry of the size.
func (t *table) fit(size uint32) {
	for t.count > 0 && t.size+size > t.max {
		e := t.entry(t.next - t.count)
		t.size -= e.name + e.value + overhead
		t.lo += e.name + e.value
		t.count--
	}
	if t.count == 0 {
		t.base += t.hi
		t.lo, t.hi = 0, 0
	}
}

// add puts a field in front and returns its entry; nil when it is too large, which empties the table (section 4.4). name and value may not lie in the table.
func (t *table) add(name, value []byte) *entry {
	size := uint32(len(name)+len(value)) + overhead
	t.fit(size)
	if size > t.max {
		return nil
	}
	t.room(size - overhead)
	if t.count == uint32(len(t.entries)) {
		t.grow()
	}
	e := t.entry(t.next)
	*e = entry{at: t.base + t.hi, name: uint32(len(name)), value: uint32(len(value))}
	copy(t.buf[t.hi:], name)
	copy(t.buf[t.hi+e.name:], value)
	t.hi += e.name + e.value
	t.size += size
	t.next++
	t.count++
	return e
}

const (
	firstBuf     = 512
	firstEntries = 8
)

// room makes place for n bytes behind those in use: they move to the front, into a larger buffer if they would soon have to move again. The bytes of a table are never
// more than its maximum, and the buffer is never larger.
func (t *table) room(n uint32) {
	have, used := uint32(len(t.buf)), t.hi-t.lo
	if t.hi+n <= have {
		return
	}
	to := t.buf
	if used+n > have/4*3 && have < t.max {
		to = make([]byte, min(max(2*have, 2*(used+n), firstBuf), t.max))
	}
	copy(to, t.buf[t.lo:t.hi])
	t.buf = to
	t.base += t.lo
	t.lo, t.hi = 0, used
}

func (t *table) grow() {
	old := *t
	t.entries = make([]entry, max(2*len(old.entries), firstEntries))
	for s := t.next - t.count; s != t.next; s++ {
		*t.entry(s) = *old.entry(s)
	}
}
