package query

import "unicode/utf8"

// Near returns a test for words that are at most distance letters away from
// word: added, left out, another, or changed places with the next.
func Near(word string, distance int) func(string) bool {
	w := []rune(word)
	row := make([]int, 2*distance+1)
	next := make([]int, 2*distance+1)
	last := make([]int, 2*distance+1) // the row before row
	return func(s string) bool {
		if d := utf8.RuneCountInString(s) - len(w); d > distance || d < -distance {
			return false
		}
		// A band of the usual table: column k of a row stands for the first
		// i+k-distance letters of w.
		for k := range row {
			row[k] = max(k-distance, 0)
			if k < distance {
				row[k] = distance + 1
			}
		}
		i := 0
		var before rune
		for _, r := range s {
			i++
			least := distance + 1
			for k := range next {
				j := i + k - distance
				v := distance + 1
				switch {
				case j == 0:
					v = i
				case j > 0 && j <= len(w):
					v = row[k]
					if w[j-1] != r {
						v++
					}
					if k > 0 {
						v = min(v, next[k-1]+1)
					}
					if k+1 < len(row) {
						v = min(v, row[k+1]+1)
					}
					if i > 1 && j > 1 && w[j-1] == before && w[j-2] == r {
						v = min(v, last[k]+1)
					}
				}
				next[k] = v
				least = min(least, v)
			}
			if least > distance {
				return false
			}
			last, row, next = row, next, last
			before = r
		}
		k := len(w) - i + distance
		return k >= 0 && k < len(row) && row[k] <= distance
	}
}
