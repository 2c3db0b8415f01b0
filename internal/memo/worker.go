package memo

// worker is what one computation after the other is done with.
type worker[S, A any, N, K comparable, V any] struct {
	reader Reader[S, A, K]
	parts  map[*leaf[S, A, N, K, V]]struct{}
	part   func(N) *V
}

func newWorker[S, A any, N, K comparable, V any](c *Cache[S, A, N, K, V]) *worker[S, A, N, K, V] {
	w := &worker[S, A, N, K, V]{}
	w.part = func(name N) *V {
		v, l := c.value(w.reader.source, w.reader.asker, name)
		w.reader.include(l.path.steps)
		if w.parts == nil {
			w.parts = map[*leaf[S, A, N, K, V]]struct{}{}
		}
		w.parts[l] = struct{}{}
		return v
	}
	return w
}

// compute gives the value of a name for an asker, and what it is made of. What it read is in the reader then.
func (w *worker[S, A, N, K, V]) compute(c *Cache[S, A, N, K, V], source S, asker *A, name N) (*V, map[*leaf[S, A, N, K, V]]struct{}) {
	w.reader.source, w.reader.asker = source, asker
	v := c.rules.Compute(source, name, &w.reader, w.part)
	parts := w.parts
	w.parts = nil
	return v, parts
}
