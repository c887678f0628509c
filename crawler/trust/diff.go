package trust

import "slices"

// maxEdits is how many words two readings may differ by, taken away and put in, and still be one page that changed. Its
// square bounds the work, and the memory: 8 bytes times half of it.
const maxEdits = 1200

// hunk is a place where two readings differ: words a0 to a1 of the one stand for words b0 to b1 of the other.
type hunk struct{ a0, a1, b0, b1 int }

// diff finds the shortest list of hunks between two sequences by Myers' greedy algorithm (Algorithmica 1, 1986). It
// reports false where they are too far apart for that to mean anything.
func diff(a, b []uint64) ([]hunk, bool) {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	a, b = a[head:len(a)-tail], b[head:len(b)-tail]
	switch {
	case len(a) == 0 && len(b) == 0:
		return nil, true
	case len(a) == 0 || len(b) == 0:
		return []hunk{{head, head + len(a), head, head + len(b)}}, len(a)+len(b) <= maxEdits
	}
	rounds, ok := furthest(a, b)
	if !ok {
		return nil, false
	}
	return trace(rounds, len(a), len(b), head), true
}

// furthest is the forward half: rounds[d][k+d] is the furthest x on diagonal k that d edits reach.
func furthest(a, b []uint64) (rounds [][]int32, ok bool) {
	if gap := len(a) - len(b); max(gap, -gap) > maxEdits {
		return nil, false
	}
	var last []int32
	for d := 0; d <= maxEdits; d++ {
		v := make([]int32, 2*d+1)
		for k := -d; k <= d; k += 2 {
			x := 0
			switch {
			case d == 0:
			case k == -d || k != d && last[k-1+d-1] < last[k+1+d-1]:
				x = int(last[k+1+d-1]) // a word of b put in
			default:
				x = int(last[k-1+d-1]) + 1 // a word of a taken away
			}
			y := x - k
			for x < len(a) && y >= 0 && y < len(b) && a[x] == b[y] {
				x, y = x+1, y+1
			}
			v[k+d] = int32(x)
			if x >= len(a) && y >= len(b) {
				return append(rounds, v), true
			}
		}
		rounds, last = append(rounds, v), v
	}
	return nil, false
}

// trace walks back from the end, and joins neighbouring edits to hunks.
func trace(rounds [][]int32, x, y, head int) (hunks []hunk) {
	for d := len(rounds) - 1; d > 0; d-- {
		k, last := x-y, rounds[d-1]
		from := k - 1
		if k == -d || k != d && last[k-1+d-1] < last[k+1+d-1] {
			from = k + 1
		}
		x0 := int(last[from+d-1])
		y0 := x0 - from
		x1, y1 := x0, y0+1
		if from == k-1 {
			x1, y1 = x0+1, y0
		}
		if n := len(hunks); n > 0 && hunks[n-1].a0 == head+x1 && hunks[n-1].b0 == head+y1 {
			hunks[n-1].a0, hunks[n-1].b0 = head+x0, head+y0
		} else {
			hunks = append(hunks, hunk{head + x0, head + x1, head + y0, head + y1})
		}
		x, y = x0, y0
	}
	slices.Reverse(hunks)
	return hunks
}
