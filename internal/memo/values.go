package memo

import (
	"slices"
	"weak"
)

// identified is a value that may be shared, by its identity.
type identified[V any] struct {
	id    string
	value weak.Pointer[V]
}

// values are those of a name that live: mostly one.
type values[V any] struct {
	one  identified[V] // none when its id is empty
	more []identified[V]
}

func (x *values[V]) empty() bool { return x.one.id == "" && len(x.more) == 0 }

// find gives the living value with an identity, or nil. One that has died is forgotten.
func (x *values[V]) find(id string) (weak.Pointer[V], *V) {
	if x.one.id == id {
		if v := x.one.value.Value(); v != nil {
			return x.one.value, v
		}
		x.one = identified[V]{}
	}
	for i := range x.more {
		if x.more[i].id != id {
			continue
		}
		if v := x.more[i].value.Value(); v != nil {
			return x.more[i].value, v
		}
		x.more = slices.Delete(x.more, i, i+1)
		break
	}
	return weak.Pointer[V]{}, nil
}

func (x *values[V]) add(i identified[V]) {
	if x.one.id == "" {
		x.one = i
		return
	}
	x.more = append(x.more, i)
}

// sweep forgets the values that have died.
func (x *values[V]) sweep() {
	if x.one.value.Value() == nil {
		x.one = identified[V]{}
	}
	x.more = slices.DeleteFunc(x.more, func(i identified[V]) bool { return i.value.Value() == nil })
}
