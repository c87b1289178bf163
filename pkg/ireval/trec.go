package ireval

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// MaxLine is the longest line of a file in bytes.
const MaxLine = 16 << 20

// ErrLine says that a line of a file is not what it should be.
var ErrLine = errors.New("cannot be read")

// ReadQrels reads judgements: "query iteration document relevance" as TREC
// writes them, or "query document relevance" below a head as BEIR does.
func ReadQrels(r io.Reader) (Qrels, error) {
	q := Qrels{}
	return q, lines(r, func(n int, l string) error {
		f := strings.Fields(l)
		if len(f) == 4 {
			f = []string{f[0], f[2], f[3]}
		}
		if len(f) != 3 {
			return fmt.Errorf("%d columns, want 4, or 3 as BEIR has them", len(f))
		}
		v, err := strconv.Atoi(f[2])
		if err != nil && n == 1 {
			return nil // the head
		}
		if err != nil || v < math.MinInt16 || v > math.MaxInt16 {
			return fmt.Errorf("relevance %q is no small number", short(f[2]))
		}
		if before, twice := q[f[0]][f[1]]; twice && before != v {
			return fmt.Errorf("document %s of query %s is judged %d before and %d here", short(f[1]), short(f[0]), before, v)
		}
		q.Add(f[0], f[1], v)
		return nil
	})
}

// WriteQrels writes judgements as TREC does, in order.
func WriteQrels(w io.Writer, q Qrels) error {
	b := bufio.NewWriter(w)
	for _, query := range slices.Sorted(maps.Keys(q)) {
		for _, d := range slices.Sorted(maps.Keys(q[query])) {
			fmt.Fprintf(b, "%s 0 %s %d\n", word(query), word(d), q[query][d]) // Flush says it
		}
	}
	return b.Flush()
}

// ReadRun reads a run, "query Q0 document rank score tag". Its ranks are not
// looked at: as for trec_eval, scores say the order.
func ReadRun(r io.Reader) (Run, error) {
	run := Run{}
	return run, lines(r, func(_ int, l string) error {
		f := strings.Fields(l)
		if len(f) != 6 {
			return fmt.Errorf("%d columns, want 6", len(f))
		}
		s, err := strconv.ParseFloat(f[4], 64)
		if err != nil || math.IsNaN(s) || math.IsInf(s, 0) {
			return fmt.Errorf("score %q is no number", short(f[4]))
		}
		if _, twice := run[f[0]][f[2]]; twice {
			return fmt.Errorf("document %s is there twice for query %s", short(f[2]), short(f[0]))
		}
		run.Add(f[0], f[2], s)
		return nil
	})
}

// WriteRun writes a run, queries in order and documents best first.
func WriteRun(w io.Writer, r Run, tag string) error {
	b := bufio.NewWriter(w)
	for _, query := range slices.Sorted(maps.Keys(r)) {
		for i, d := range r.Ranked(query) {
			fmt.Fprintf(b, "%s Q0 %s %d %s %s\n", word(query), word(d), i+1, // Flush says it
				strconv.FormatFloat(r[query][d], 'g', -1, 64), word(tag))
		}
	}
	return b.Flush()
}

// word makes one column of s: blanks become underscores.
func word(s string) string {
	if f := strings.Fields(s); len(f) > 0 {
		return strings.Join(f, "_")
	}
	return "_"
}

// short is the beginning of what stands in a message.
func short(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}

// lines calls each for every line that is not blank, with its number.
func lines(r io.Reader, each func(n int, line string) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, MaxLine)
	n := 0
	for s.Scan() {
		n++
		l := s.Text()
		if n == 1 {
			l = strings.TrimPrefix(l, "\ufeff")
		}
		if strings.TrimSpace(l) == "" {
			continue
		}
		if err := each(n, l); err != nil {
			return fmt.Errorf("line %d %w: %w", n, ErrLine, err)
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("line %d %w: %w", n+1, ErrLine, err)
	}
	return nil
}
