package extract

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxPages bounds how many pages of a PDF are read.
const maxPages = 10_000

// line is a line of a page.
type line struct {
	page        int // from 1
	text        string
	top, bottom float64
	left, right float64
	size        float64 // of most of its text, in points
}

func (l line) height() float64 { return max(l.top-l.bottom, 1) }

// pdf reads the pages of a PDF in order. A PDF says where letters stand, not
// what they are: lines become paragraphs by the space between them, headings by
// their size, and what stands on most pages at the same place is read once. Pages
// that are pictures are read by OCR where there is one.
func (t *Text) pdf(ctx context.Context, r *Reader, data []byte) error {
	var lines []line
	var scans []int
	count, unread := 0, 0
	err := r.pdfium.with(ctx, r.c.Cache, data, func(p *pages) error {
		if p.count > maxPages {
			return tooMuch(fmt.Sprintf("%d pages", p.count))
		}
		t.Title = p.title()
		size := 0
		for i := range p.count {
			runs, err := p.runs(i)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil { // a damaged page among others
				unread++
				continue
			}
			found := joinRuns(runs, i+1)
			if len(found) == 0 {
				scans = append(scans, i)
			}
			for _, l := range found {
				size += len(l.text)
			}
			if size > t.left.text {
				return t.left.keep(size)
			}
			lines = append(lines, found...)
		}
		read, undrawn, err := r.ocr(ctx, p, scans)
		lines = append(lines, read...)
		unread += undrawn
		count = p.count
		return err
	})
	if err != nil {
		return err
	}
	// A page may be damaged; when many are, it is the document, or what reads it.
	if unread > max(1, count/10) || unread == count && count > 0 {
		return damaged(t.Format, fmt.Errorf("%d of %d pages cannot be read", unread, count))
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.page - b.page })
	t.pages(dropRunning(lines))
	if unread > 0 && len(t.Blocks) > 0 { // for whoever looks for what stood there
		t.add(Meta, fmt.Sprintf("%d of the %d pages of this document could not be read.", unread, count), nil, 0)
	}
	if len(t.Blocks) == 0 && len(scans) > 0 {
		return unsupported("", "its pages are pictures, and no OCR is installed that could read them (tesseract)")
	}
	return nil
}

// joinRuns makes lines of the runs of a page: what stands on one line, in the
// order of the document.
func joinRuns(runs []run, page int) []line {
	var out []line
	var last strings.Builder // text of the last line
	done := func() {
		if n := len(out) - 1; n >= 0 {
			out[n].text = last.String()
		}
		last.Reset()
	}
	for _, r := range runs {
		text := strings.TrimRight(r.text, " \t\r\n")
		if strings.TrimSpace(text) == "" {
			continue
		}
		if n := len(out) - 1; n >= 0 {
			l := &out[n]
			overlap := min(l.top, r.top) - max(l.bottom, r.bottom)
			if overlap > 0.5*min(l.height(), max(r.top-r.bottom, 1)) && r.left >= l.right-l.size {
				switch gap := r.left - l.right; {
				case gap > 1.5*max(l.size, 1): // columns of a table
					last.WriteByte('\t')
				case gap > 0.15*max(l.size, 1): // what ends with a blank was trimmed
					last.WriteByte(' ')
				}
				if len(text) > last.Len() {
					l.size = r.size
				}
				last.WriteString(text)
				l.right, l.top, l.bottom = max(l.right, r.right), max(l.top, r.top), min(l.bottom, r.bottom)
				continue
			}
		}
		done()
		last.WriteString(text)
		out = append(out, line{page: page, top: r.top, bottom: r.bottom, left: r.left, right: r.right, size: r.size})
	}
	done()
	return out
}

// edge is how many lines at the top and at the bottom of a page may be its
// header and footer.
const edge = 2

// dropRunning drops the headers and footers that repeat themselves, and keeps
// the first of each: they stand at the edge of many pages at the same height, and
// differ in numbers at most.
func dropRunning(lines []line) []line {
	type place struct {
		text   string
		height int
	}
	at := make([]place, len(lines)) // of the lines at an edge
	seen := map[place]int{}
	pages := 0
	for from := 0; from < len(lines); {
		to := from
		for to < len(lines) && lines[to].page == lines[from].page {
			to++
		}
		pages++
		for _, i := range edges(lines[from:to]) {
			p := place{digitless(lines[from+i].text), int(math.Round(lines[from+i].bottom))}
			at[from+i] = p
			seen[p]++
		}
		from = to
	}
	// Books have other headers on left pages, and in each chapter.
	many := max(4, min(pages/3, 20))
	kept := map[place]bool{}
	out := lines[:0]
	for i, l := range lines {
		if p := at[i]; p.text != "" && seen[p] >= many {
			if kept[p] {
				continue
			}
			kept[p] = true
		}
		out = append(out, l)
	}
	return out
}

// edges are the indices of the lines at the top and the bottom of a page.
func edges(page []line) []int {
	byHeight := make([]int, len(page))
	for i := range page {
		byHeight[i] = i
	}
	slices.SortStableFunc(byHeight, func(a, b int) int { return cmp.Compare(page[b].bottom, page[a].bottom) })
	if len(byHeight) <= 2*edge {
		return byHeight
	}
	return append(byHeight[:edge:edge], byHeight[len(byHeight)-edge:]...)
}

// digitless is a line for comparison with those that differ in a number.
func digitless(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return '0'
		}
		return r
	}, strings.Join(strings.Fields(s), " "))
}

// pages makes blocks of lines.
func (t *Text) pages(lines []line) {
	body := bodySize(lines)
	levels := headingSizes(lines, body)
	level := func(l line) int {
		if utf8.RuneCountInString(l.text) > 150 {
			return 0
		}
		return levels[roundSize(l.size)]
	}
	defer func() { t.page = 0 }()
	var o outline
	for i := 0; i < len(lines); {
		j, lv := i+1, level(lines[i])
		for j < len(lines) && level(lines[j]) == lv && follows(lines[j-1], lines[j]) && (lv == 0 || j-i < 4) {
			j++
		}
		kind, text := Paragraph, joinLines(lines[i:j])
		switch {
		case lv > 0:
			kind = Heading
			text = oneLine(text, 500)
			o.open(lv, text)
			if t.Title == "" {
				t.Title = text
			}
		case isTabular(lines[i:j]):
			kind, text = Table, tabular(lines[i:j])
		}
		t.page = lines[i].page
		t.add(kind, text, o.names, 0)
		i = j
	}
}

// follows reports whether b goes on with the paragraph of a.
func follows(a, b line) bool {
	if a.page != b.page {
		return false
	}
	gap := a.bottom - b.top
	return math.Abs(a.size-b.size) <= 0.1*max(a.size, 1) && gap < 0.75*max(a.height(), a.size) && gap > -0.6*a.height()
}

func roundSize(s float64) int { return int(math.Round(s * 2)) }

// bodySize is the size of most of the text.
func bodySize(lines []line) int {
	count := map[int]int{}
	best := 0
	for _, l := range lines {
		s := roundSize(l.size)
		if count[s] += len(l.text); count[s] > count[best] || (count[s] == count[best] && s < best) {
			best = s
		}
	}
	return best
}

// headingSizes gives levels to the sizes that are clearly above the body's, the
// largest first.
func headingSizes(lines []line, body int) map[int]int {
	larger := map[int]bool{}
	for _, l := range lines {
		if s := roundSize(l.size); float64(s) >= 1.15*float64(body) {
			larger[s] = true
		}
	}
	sizes := slices.Sorted(maps.Keys(larger))
	slices.Reverse(sizes)
	levels := map[int]int{}
	for i, s := range sizes {
		levels[s] = min(i+1, 6)
	}
	return levels
}

// hyphens end a line in the middle of a word: PDFium writes U+0002 or U+FFFE for
// those that it takes for such.
const hyphens = "\u0002\ufffe\u00ad"

// joinLines makes a paragraph of lines, and whole words of those that were cut
// at their ends.
func joinLines(lines []line) string {
	var b strings.Builder
	for i, l := range lines {
		text := strings.TrimSpace(l.text)
		if i+1 == len(lines) {
			b.WriteString(strings.TrimRight(text, hyphens))
			break
		}
		next, _ := utf8.DecodeRuneInString(strings.TrimSpace(lines[i+1].text))
		cut := strings.TrimRight(text, hyphens)
		switch {
		case cut != text:
			b.WriteString(cut)
		case unicode.IsLower(next) && wordCut(text):
			b.WriteString(text[:len(text)-1])
		default:
			b.WriteString(text + "\n")
		}
	}
	return b.String()
}

// wordCut reports whether a line ends with a letter and a hyphen.
func wordCut(s string) bool {
	rest, ok := strings.CutSuffix(s, "-")
	r, _ := utf8.DecodeLastRuneInString(rest)
	return ok && unicode.IsLetter(r)
}

// isTabular reports whether most lines have columns.
func isTabular(lines []line) bool {
	n := 0
	for _, l := range lines {
		if strings.Contains(l.text, "\t") {
			n++
		}
	}
	return len(lines) > 1 && 2*n > len(lines)
}

func tabular(lines []line) string {
	g := &grid{}
	for _, l := range lines {
		g.row(strings.Split(l.text, "\t"))
	}
	return g.String()
}
