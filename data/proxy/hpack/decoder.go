package hpack

// Sink takes the fields of a block in order.
type Sink interface {
	// Field shows a field; the slices die with the call. never says that it must stay a never-indexed literal wherever it is sent on (RFC 7541 section 6.2.3).
	Field(name, value []byte, never bool)
}

// Scratch is the memory in which strings are decoded. Decoders of one goroutine may share it; the zero Scratch is ready.
type Scratch struct{ b []byte }

// keepScratch bounds what a Scratch holds back for the next string.
const keepScratch = 16 << 10

// Decoder reads field blocks. Init prepares it.
type Decoder struct {
	table     table
	scratch   *Scratch
	limit     uint32 // of the table, as the other end knows it
	maxString int
	updates   uint8 // at the start of this block
	fields    bool  // the block has begun
	lowered   bool  // the limit fell below the table's maximum: the next block must begin with an update
}

// maxUpdates is how many size updates a block may begin with: the smallest of several changes, then the last (RFC 7541 section 4.2).
const maxUpdates = 2

// Init prepares the decoder for a connection. limit bounds the table (SETTINGS_HEADER_TABLE_SIZE; the protocol begins with 4096), maxString each name and value.
func (d *Decoder) Init(limit uint32, maxString int, s *Scratch) {
	*d = Decoder{scratch: s, limit: limit, maxString: maxString}
	d.table.max = limit
}

// SetLimit changes the bound of the table; call it when the other end has acknowledged the setting.
func (d *Decoder) SetLimit(limit uint32) {
	d.limit = limit
	d.lowered = limit < d.table.max
}

// TableSize is the size of the dynamic table (RFC 7541 section 4.1).
func (d *Decoder) TableSize() int { return int(d.table.size) }

// Decode reads the whole fields at the front of b, shows them to sink and returns how many bytes they took. The rest, never more than two strings of the limit, must be
// shown again with the next fragment behind it; end says that this is the last one. After an error the decoder is dead.
func (d *Decoder) Decode(b []byte, end bool, sink Sink) (used int, err error) {
	for used < len(b) {
		n, err := d.one(b[used:], sink)
		if err != nil {
			return used, err
		}
		if n == 0 {
			break
		}
		used += n
	}
	if !end {
		return used, nil
	}
	if used < len(b) {
		return used, ErrTruncated
	}
	if d.lowered && !d.fields {
		return used, ErrNoUpdate
	}
	d.fields, d.updates = false, 0
	return used, nil
}

// one reads one representation (RFC 7541 section 6); used is 0 when b ends inside it.
func (d *Decoder) one(b []byte, sink Sink) (used int, err error) {
	c := b[0]
	if c&0xe0 == 0x20 {
		return d.update(b)
	}
	if d.lowered {
		return 0, ErrNoUpdate
	}
	d.fields = true
	switch {
	case c&0x80 != 0:
		i, used, err := integer(b, 7)
		if err != nil || used == 0 {
			return 0, err
		}
		name, value, err := d.at(i)
		if err != nil {
			return 0, err
		}
		sink.Field(name, value, false)
		return used, nil
	case c&0x40 != 0:
		return d.literal(b, 6, sink)
	}
	return d.literal(b, 4, sink)
}

// update reads a change of the table's maximum (RFC 7541 sections 4.2 and 6.3).
func (d *Decoder) update(b []byte) (used int, err error) {
	n, used, err := integer(b, 5)
	if err != nil || used == 0 {
		return 0, err
	}
	if d.fields || d.updates == maxUpdates || n > d.limit {
		return 0, ErrUpdate
	}
	d.updates++
	d.lowered = false
	d.table.resize(n)
	return used, nil
}

// at is the field of an index (RFC 7541 section 2.3.3).
func (d *Decoder) at(i uint32) (name, value []byte, err error) {
	if i < uint32(len(static)) {
		if i == 0 {
			return nil, nil, ErrIndex
		}
		return static[i].name, static[i].value, nil
	}
	i -= uint32(len(static))
	if i >= d.table.count {
		return nil, nil, ErrIndex
	}
	name, value = d.table.field(d.table.entry(d.table.next - 1 - i))
	return name, value, nil
}

// literal reads a literal field (RFC 7541 section 6.2) whose index has so many bits.
func (d *Decoder) literal(b []byte, bits uint, sink Sink) (used int, err error) {
	i, used, err := integer(b, bits)
	if err != nil || used == 0 {
		return 0, err
	}
	var n, v text
	if i == 0 {
		var more int
		if n, more, err = literal(b[used:], d.maxString); err != nil || more == 0 {
			return 0, err
		}
		used += more
	} else if n.bytes, _, err = d.at(i); err != nil {
		return 0, err
	}
	v, more, err := literal(b[used:], d.maxString)
	if err != nil || more == 0 {
		return 0, err
	}
	s := d.scratch.b[:0]
	// A name of the dynamic table may be evicted by what it names.
	if n.huffman || bits == 6 && i >= uint32(len(static)) {
		if n.bytes, s, err = d.copied(n, s); err != nil {
			return 0, err
		}
	}
	if v.huffman {
		if v.bytes, s, err = d.copied(v, s); err != nil {
			return 0, err
		}
	}
	if bits == 6 {
		d.table.add(n.bytes, v.bytes)
	}
	sink.Field(n.bytes, v.bytes, b[0]&0xf0 == 0x10)
	if d.scratch.b = s; cap(s) > keepScratch {
		d.scratch.b = nil
	}
	return used + more, nil
}

// copied decodes t, or copies it, to the end of s. What lies in s stays where it is even when s moves: nobody writes there.
func (d *Decoder) copied(t text, s []byte) (out, grown []byte, err error) {
	from := len(s)
	if !t.huffman {
		s = append(s, t.bytes...)
	} else if s, err = appendDecoded(s, t.bytes, d.maxString); err != nil {
		return nil, s, err
	}
	return s[from:len(s):len(s)], s, nil
}
