package ledger

import "testing"

func TestRows(t *testing.T) {
	n := map[string]int{}
	for _, r := range Rows() {
		n[r.Subject]++
	}
	t.Log(n)
}
