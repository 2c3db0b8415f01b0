// Package memo remembers results of pure functions by what they read: data under keys, and answers to questions about whoever asked.
//
// In: a function of (source, name, Reader), and the keys that changed from one revision of the source to the next. Out: one shared value for all
// askers who would get the same, and the names that must be asked for again. Nobody keeps a list of inputs by hand: what was read is the cache key.
// A Cache is safe for concurrent use; a Reader belongs to the one computation that it was made for.
package memo

// Question is something asked about an asker. Its dynamic value is its identity, so it must be comparable, and so must its answers.
// An answer is a function of the source and the asker alone.
type Question[S, A any] interface {
	Answer(source S, asker *A) any
}

// Grounded is a question whose answer depends on data too; Grounds are the keys of that data for one asker.
type Grounded[S, A any, K comparable] interface {
	Question[S, A]
	Grounds(source S, asker *A) []K
}

// Reader records what one computation reads.
type Reader[S, A any, K comparable] struct {
	source  S
	asker   *A
	reads   []K
	path    []step[S, A]
	answers map[Question[S, A]]any // the same, when they are many
}

// few is up to how many a list is searched from one end to the other.
const few = 16

// reset makes a reader ready for another computation.
func (r *Reader[S, A, K]) reset() {
	clear(r.reads)
	clear(r.path)
	*r = Reader[S, A, K]{reads: r.reads[:0], path: r.path[:0]}
}

// step is one question with its answer.
type step[S, A any] struct {
	question Question[S, A]
	answer   any
}

// Read records that the value under a key was looked at, whether it is there or not.
func (r *Reader[S, A, K]) Read(k K) {
	for _, was := range r.Recent() {
		if was == k {
			return
		}
	}
	r.reads = append(r.reads, k)
}

// Recent are the keys that were read last. What is read again is mostly read again soon; what is not found here is told apart when the result is remembered.
func (r *Reader[S, A, K]) Recent() []K { return r.reads[max(0, len(r.reads)-few):] }

// Ask gives the answer for the asker; the answer becomes part of the key of the result.
func (r *Reader[S, A, K]) Ask(q Question[S, A]) any {
	if a, ok := r.answered(q); ok {
		return a
	}
	a := q.Answer(r.source, r.asker)
	r.note(step[S, A]{question: q, answer: a})
	return a
}

func (r *Reader[S, A, K]) answered(q Question[S, A]) (any, bool) {
	if r.answers != nil {
		a, ok := r.answers[q]
		return a, ok
	}
	for i := range r.path {
		if r.path[i].question == q {
			return r.path[i].answer, true
		}
	}
	return nil, false
}

func (r *Reader[S, A, K]) note(s step[S, A]) {
	r.path = append(r.path, s)
	switch {
	case r.answers != nil:
		r.answers[s.question] = s.answer
	case len(r.path) > few:
		r.answers = make(map[Question[S, A]]any, 4*few)
		for _, s := range r.path {
			r.answers[s.question] = s.answer
		}
	}
}

// include makes the questions of a part part of this computation's.
func (r *Reader[S, A, K]) include(path []step[S, A]) {
	for _, s := range path {
		if _, ok := r.answered(s.question); !ok {
			r.note(s)
		}
	}
}
