package tally

// mostRemembered bounds a memory: more than a workload has services and peers.
const mostRemembered = 4096

// memory keeps what texts were read as: the same few come with each request. Its zero value is ready.
type memory[T any] struct{ known map[string]T }

// of is what a text is read as.
func (m *memory[T]) of(text string, read func(string) T) T {
	if v, ok := m.known[text]; ok {
		return v
	}
	if m.known == nil || len(m.known) >= mostRemembered {
		m.known = map[string]T{}
	}
	v := read(text)
	m.known[text] = v
	return v
}
