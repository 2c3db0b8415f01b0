package hpack

// index finds entries of an encoder's table by hash. It may forget one when too many fall together: that costs bytes on the wire, never their meaning.
type index struct{ fields, names slots }

// slots hold serial numbers of entries; one whose entry is gone is an empty place. Their number is a power of two.
type slots []uint32

// probes is how many places an entry may have.
const probes = 4

func (s slots) at(hash, i uint32) *uint32 { return &s[(hash+i)&uint32(len(s)-1)] }

// field finds the entry of a field, nil if it is not known.
func (x *index) field(t *table, hash uint32, name, value []byte) (serial uint32, ok bool) {
	if len(x.fields) == 0 {
		return 0, false
	}
	for i := range uint32(probes) {
		s := *x.fields.at(hash, i)
		if !t.live(s) {
			continue
		}
		if e := t.entry(s); e.hash == hash && t.is(e, name, value) {
			return s, true
		}
	}
	return 0, false
}

// name finds the latest entry of a name.
func (x *index) name(t *table, key uint32, name []byte) (serial uint32, ok bool) {
	if len(x.names) == 0 {
		return 0, false
	}
	for i := range uint32(probes) {
		s := *x.names.at(key, i)
		if !t.live(s) {
			continue
		}
		e := t.entry(s)
		if n, _ := t.field(e); e.key == key && string(n) == string(name) {
			return s, true
		}
	}
	return 0, false
}

// put enters the latest entry of a table.
func (x *index) put(t *table) {
	if n := 2 * len(t.entries); n > len(x.fields) {
		x.rebuild(t, n)
		return
	}
	x.enter(t, t.next-1)
}

func (x *index) enter(t *table, serial uint32) {
	e := t.entry(serial)
	x.fields.put(t, e.hash, serial, func(o *entry) bool { return o.hash == e.hash })
	x.names.put(t, e.key, serial, func(o *entry) bool { return o.key == e.key })
}

// put takes the place of an entry that is the same, or an empty one, or that of the oldest.
func (s slots) put(t *table, hash, serial uint32, same func(*entry) bool) {
	const empty = 1 << 31 // older than every entry
	var best *uint32
	oldest := uint32(0)
	for i := range uint32(probes) {
		p := s.at(hash, i)
		age := uint32(empty)
		if t.live(*p) {
			if same(t.entry(*p)) {
				*p = serial
				return
			}
			age = t.next - *p
		}
		if age > oldest {
			best, oldest = p, age
		}
	}
	*best = serial
}

// rebuild makes n slots.
func (x *index) rebuild(t *table, n int) {
	x.fields, x.names = make(slots, n), make(slots, n)
	for i := range n {
		x.fields[i], x.names[i] = t.next+1<<31, t.next+1<<31 // the number of no entry for a long time to come
	}
	for s := t.next - t.count; s != t.next; s++ {
		x.enter(t, s)
	}
}
