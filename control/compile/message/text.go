package message

import "strings"

// Affixed are texts with a prefix and a suffix each, in the memory of one.
func Affixed(prefix string, texts []string, suffix string) []string {
	size := 0
	for _, t := range texts {
		size += len(prefix) + len(t) + len(suffix)
	}
	var b strings.Builder
	b.Grow(size)
	for _, t := range texts {
		b.WriteString(prefix)
		b.WriteString(t)
		b.WriteString(suffix)
	}
	all, out := b.String(), make([]string, len(texts))
	for i, t := range texts {
		n := len(prefix) + len(t) + len(suffix)
		out[i], all = all[:n], all[n:]
	}
	return out
}
