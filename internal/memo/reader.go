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
	reads   map[K]struct{}
	answers map[Question[S, A]]any
	path    []step[S, A]
}

func newReader[S, A any, K comparable](source S, asker *A) *Reader[S, A, K] {
	return &Reader[S, A, K]{source: source, asker: asker, reads: map[K]struct{}{}, answers: map[Question[S, A]]any{}}
}

// step is one question with its answer.
type step[S, A any] struct {
	question Question[S, A]
	answer   any
}

// Read records that the value under a key was looked at, whether it is there or not.
func (r *Reader[S, A, K]) Read(k K) { r.reads[k] = struct{}{} }

// Ask gives the answer for the asker; the answer becomes part of the key of the result.
func (r *Reader[S, A, K]) Ask(q Question[S, A]) any {
	if a, ok := r.answers[q]; ok {
		return a
	}
	a := q.Answer(r.source, r.asker)
	r.answers[q] = a
	r.path = append(r.path, step[S, A]{question: q, answer: a})
	return a
}

// include makes the questions of a part part of this computation's.
func (r *Reader[S, A, K]) include(path []step[S, A]) {
	for _, s := range path {
		if _, ok := r.answers[s.question]; !ok {
			r.answers[s.question] = s.answer
			r.path = append(r.path, s)
		}
	}
}

// node is a place in the decision trie of a name: either a question with a branch for each answer seen, or a leaf.
type node[S, A any, N, K comparable, V any] struct {
	question Question[S, A]
	branches map[any]*node[S, A, N, K, V]
	leaf     *leaf[S, A, N, K, V]
}

// find walks to the leaf whose answers the asker gives, or nil.
func (n *node[S, A, N, K, V]) find(source S, asker *A) *leaf[S, A, N, K, V] {
	for n != nil && n.leaf == nil {
		if n.question == nil {
			return nil
		}
		n = n.branches[n.question.Answer(source, asker)]
	}
	if n == nil {
		return nil
	}
	return n.leaf
}

// plant puts a leaf at the end of its path. A subtree that asks something else at some place is out of date, because a function that
// read the same data would have asked the same; it is dropped, and the result says so.
func (n *node[S, A, N, K, V]) plant(l *leaf[S, A, N, K, V]) (dropped bool) {
	for _, s := range l.path {
		if n.question != s.question || n.leaf != nil {
			dropped = dropped || n.question != nil || n.leaf != nil
			*n = node[S, A, N, K, V]{question: s.question, branches: map[any]*node[S, A, N, K, V]{}}
		}
		next := n.branches[s.answer]
		if next == nil {
			next = &node[S, A, N, K, V]{}
			n.branches[s.answer] = next
		}
		n = next
	}
	dropped = dropped || n.question != nil || n.leaf != nil
	*n = node[S, A, N, K, V]{leaf: l}
	return dropped
}

// prune takes a leaf out and the branches that become empty with it. It says whether the node itself is empty now.
func (n *node[S, A, N, K, V]) prune(l *leaf[S, A, N, K, V], depth int) bool {
	if depth == len(l.path) {
		if n.leaf == l {
			n.leaf = nil
		}
		return n.leaf == nil && n.question == nil
	}
	s := l.path[depth]
	if n.leaf != nil || n.question != s.question {
		return false
	}
	if next := n.branches[s.answer]; next != nil && next.prune(l, depth+1) {
		delete(n.branches, s.answer)
	}
	if len(n.branches) == 0 {
		*n = node[S, A, N, K, V]{}
		return true
	}
	return false
}
