package memo

import "slices"

// node is a place in the decision trie of a name: either a question with a branch for each answer seen, or a leaf. The questions of a leaf's path that nothing else shares have
// no nodes: they are asked one after the other.
type node[S, A any, N, K comparable, V any] struct {
	leaf  *leaf[S, A, N, K, V]
	split *split[S, A, N, K, V]
}

type split[S, A any, N, K comparable, V any] struct {
	question Question[S, A]
	branches []branch[S, A, N, K, V]
	by       map[any]int // the places of the branches by their answers, when they are many
}

type branch[S, A any, N, K comparable, V any] struct {
	answer any
	node   *node[S, A, N, K, V]
}

// branch is what follows an answer, or nil.
func (n *split[S, A, N, K, V]) branch(answer any) *node[S, A, N, K, V] {
	if n.by != nil {
		if i, ok := n.by[answer]; ok {
			return n.branches[i].node
		}
		return nil
	}
	for i := range n.branches {
		if n.branches[i].answer == answer {
			return n.branches[i].node
		}
	}
	return nil
}

// grow adds a branch.
func (n *split[S, A, N, K, V]) grow(answer any) *node[S, A, N, K, V] {
	next := &node[S, A, N, K, V]{}
	n.branches = append(n.branches, branch[S, A, N, K, V]{answer, next})
	if n.by != nil {
		n.by[answer] = len(n.branches) - 1
	} else if len(n.branches) > few {
		n.by = make(map[any]int, 4*few)
		for i := range n.branches {
			n.by[n.branches[i].answer] = i
		}
	}
	return next
}

// cut takes a branch out.
func (n *split[S, A, N, K, V]) cut(answer any) {
	at := slices.IndexFunc(n.branches, func(b branch[S, A, N, K, V]) bool { return b.answer == answer })
	last := len(n.branches) - 1
	n.branches[at] = n.branches[last]
	n.branches[last] = branch[S, A, N, K, V]{}
	n.branches = n.branches[:last]
	if n.by == nil {
		return
	}
	if delete(n.by, answer); at < last {
		n.by[n.branches[at].answer] = at
	}
}

// find walks to the leaf whose answers the asker gives, or nil.
func (n *node[S, A, N, K, V]) find(source S, asker *A) *leaf[S, A, N, K, V] {
	for depth := 0; n != nil; depth++ {
		if n.leaf != nil {
			if n.leaf.agrees(source, asker, depth) {
				return n.leaf
			}
			return nil
		}
		if n.split == nil {
			return nil
		}
		n = n.split.branch(n.split.question.Answer(source, asker))
	}
	return nil
}

// plant puts a leaf where it parts from the others: below there is nothing but it, however long its path is. A subtree that asks something else at some place is
// out of date, because a function that read the same data would have asked the same; it is dropped, and the result says so.
func (n *node[S, A, N, K, V]) plant(l *leaf[S, A, N, K, V]) (dropped bool) {
	for depth := 0; ; depth++ {
		if n.leaf != nil {
			if !n.leaf.partsFrom(l, depth) {
				n.leaf = l
				return true
			}
			n.push(depth)
		}
		switch {
		case n.split == nil:
			n.leaf = l
			return dropped
		case depth == len(l.path.steps) || n.split.question != l.path.steps[depth].question:
			*n = node[S, A, N, K, V]{leaf: l}
			return true
		}
		answer := l.path.steps[depth].answer
		next := n.split.branch(answer)
		if next == nil {
			next = n.split.grow(answer)
		}
		n = next
	}
}

// push moves the leaf that a node holds one question down.
func (n *node[S, A, N, K, V]) push(depth int) {
	l := n.leaf
	n.leaf, n.split = nil, &split[S, A, N, K, V]{question: l.path.steps[depth].question}
	n.split.grow(l.path.steps[depth].answer).leaf = l
}

// prune takes a leaf out and the branches that become empty with it. It says whether the node itself is empty now.
func (n *node[S, A, N, K, V]) prune(l *leaf[S, A, N, K, V], depth int) bool {
	if n.leaf != nil {
		if n.leaf == l {
			n.leaf = nil
		}
		return n.leaf == nil
	}
	if n.split == nil || depth == len(l.path.steps) || n.split.question != l.path.steps[depth].question {
		return n.split == nil
	}
	answer := l.path.steps[depth].answer
	if next := n.split.branch(answer); next != nil && next.prune(l, depth+1) {
		n.split.cut(answer)
	}
	if len(n.split.branches) == 0 {
		*n = node[S, A, N, K, V]{}
		return true
	}
	return false
}
