package hpack

import (
	"hash/maphash"
	"strconv"
)

// seed makes the hashes of names and values unpredictable to those who choose them.
var seed = maphash.MakeSeed()

func hashName(name []byte) uint32 { return uint32(maphash.Bytes(seed, name)) }

func hashField(key uint32, value []byte) uint32 {
	return uint32(maphash.Bytes(seed, value))*0x9e3779b1 ^ key
}

// Encoder writes field blocks. Init prepares it.
//
// What comes again is put into the table: a field at once when its name is new, so that the name need not be written again; a field whose name is known with another
// value, or whose value rarely repeats (content-length, dates, paths), when it is seen a second time. So values that are different in each message do not drive out
// those that repeat. Fields that tell who somebody is are never put there, because a table shared by many clients lets one of them try values
// (RFC 7541 section 7.1).
type Encoder struct {
	table  table
	index  index
	seen   [32]uint32 // hashes of fields that were written as literals
	own    uint32     // our own limit of the table
	lowest uint32     // that the limit was set to since the last block
	update bool       // the other end must be told
	plain  bool
}

// Init prepares the encoder for a connection. limit is the largest table that we want; the protocol begins with 4096 (RFC 9113 section 6.5.2). plain leaves the Huffman code
// out, which makes literals a third longer and saves both ends the work.
func (e *Encoder) Init(limit uint32, plain bool) {
	*e = Encoder{own: limit, plain: plain}
	const initial = 4096
	e.table.max, e.lowest = initial, noLimit
	e.SetLimit(initial)
}

const noLimit = 1<<32 - 1

// SetLimit obeys the other end's SETTINGS_HEADER_TABLE_SIZE.
func (e *Encoder) SetLimit(limit uint32) {
	limit = min(limit, e.own)
	if limit == e.table.max {
		return
	}
	e.lowest = min(e.lowest, limit)
	e.table.resize(limit)
	e.update = true
}

// TableSize is the size of the dynamic table (RFC 7541 section 4.1).
func (e *Encoder) TableSize() int { return int(e.table.size) }

// Begin starts a block: it appends the size updates that are due.
func (e *Encoder) Begin(dst []byte) []byte {
	if !e.update {
		return dst
	}
	if e.lowest < e.table.max {
		dst = appendInteger(dst, 0x20, 5, e.lowest)
	}
	dst = appendInteger(dst, 0x20, 5, e.table.max)
	e.update, e.lowest = false, noLimit
	return dst
}

// AppendStatus appends the status of a response.
func (e *Encoder) AppendStatus(dst []byte, status int) []byte {
	var digits [20]byte
	return e.Append(dst, static[atStatus].name, strconv.AppendInt(digits[:0], int64(status), 10), false)
}

// Append appends a field. never makes it a literal that no one on the way may put into a table; names by which people are known are written so anyway.
func (e *Encoder) Append(dst, name, value []byte, never bool) []byte {
	key := hashName(name)
	hash := hashField(key, value)
	if !never {
		if i := staticField(hash, name, value); i != 0 {
			return append(dst, 0x80|byte(i))
		}
		if i := e.fromSerial(e.index.field(&e.table, hash, name, value)); i != 0 {
			return appendInteger(dst, 0x80, 7, i)
		}
	}
	at := staticName(key, name)
	known := e.fromSerial(e.index.name(&e.table, key, name))
	index := known
	if at != 0 {
		index = uint32(at)
	}
	switch {
	case never || personal(at, value):
		return e.literal(dst, 0x10, 4, index, name, value)
	case e.worth(hash, at, known != 0, len(name)+len(value)+overhead):
		dst = e.literal(dst, 0x40, 6, index, name, value)
		if entry := e.table.add(name, value); entry != nil {
			entry.hash, entry.key = hash, key
			e.index.put(&e.table)
		}
		return dst
	}
	return e.literal(dst, 0, 4, index, name, value)
}

// literal appends a literal field whose name is at index; 0 for a new one.
func (e *Encoder) literal(dst []byte, pattern byte, bits uint, index uint32, name, value []byte) []byte {
	dst = appendInteger(dst, pattern, bits, index)
	if index == 0 {
		dst = appendString(dst, name, e.plain)
	}
	return appendString(dst, value, e.plain)
}

// guessable is the length below which a cookie might be found by trying.
const guessable = 20

// personal says whether a field must not be compared with what others send.
func personal(at int, value []byte) bool {
	switch at {
	case atAuthorization, atProxyAuthorization:
		return true
	case atCookie, atSetCookie:
		return len(value) < guessable
	}
	return false
}

// worth says whether a field goes into the table. at is its name's place in the static table; known says that the dynamic table has the name.
func (e *Encoder) worth(hash uint32, at int, known bool, size int) bool {
	if size > int(e.table.max)/4*3 {
		return false // it would drive out everything else
	}
	if !known && volatile>>at&1 == 0 {
		return true
	}
	slot := &e.seen[hash>>16%uint32(len(e.seen))]
	again := *slot == hash
	*slot = hash
	return again
}

// fromSerial is the index on the wire of an entry of the dynamic table (RFC 7541 section 2.3.3).
func (e *Encoder) fromSerial(s uint32, ok bool) uint32 {
	if !ok {
		return 0
	}
	return e.table.next - s - 1 + uint32(len(static))
}
