package cli

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// table prints aligned columns. The last one is the longest: where a terminal is
// too narrow for it, it goes on a line of its own.
type table struct {
	w     io.Writer
	width int // of the terminal; 0 is none, and no line is broken
	rows  [][]string
}

func newTable(w io.Writer, head ...string) *table {
	t := &table{w: w, width: columns(w)}
	t.row(head...)
	return t
}

func (t *table) row(cells ...string) {
	for i, c := range cells {
		cells[i] = oneLine(c)
	}
	t.rows = append(t.rows, cells)
}

func (t *table) flush() error {
	lines := aligned(t.rows)
	last := len(t.rows[0]) - 1
	if last > 0 && t.wide(lines) {
		rest := make([][]string, len(t.rows))
		for i, cells := range t.rows {
			rest[i] = cells[:last]
		}
		if short := aligned(rest); !t.wide(short) {
			lines = short
			for i, cells := range t.rows {
				if cells[last] != "" {
					lines[i] += "\n  " + cells[last]
				}
			}
		}
	}
	_, err := io.WriteString(t.w, strings.Join(lines, "\n")+"\n")
	return err
}

func (t *table) wide(lines []string) bool {
	return t.width > 0 && slices.ContainsFunc(lines, func(l string) bool { return utf8.RuneCountInString(l) > t.width })
}

// aligned are the rows as lines.
func aligned(rows [][]string) []string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
	for _, cells := range rows {
		fmt.Fprintln(w, strings.Join(cells, "\t")) // to memory
	}
	_ = w.Flush() // to memory
	lines := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return lines
}

// columns is how wide a terminal is; 0 for what is none.
func columns(w io.Writer) int {
	if f := file(w); f != nil {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil {
			return n
		}
	}
	return 0
}

// oneLine keeps text of others from breaking the layout or the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0:
			return -1
		}
		return r
	}, s)
}

func or[T any](p *T, d T) T {
	if p == nil {
		return d
	}
	return *p
}

// count is n things, in the right number.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}

// orEmpty makes of no slice an empty one, which is [] in JSON.
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// called is how people know a principal; with wide, its id as well, which is
// what filters and the log itself say.
func called(principal, name string, wide bool) string {
	switch {
	case name == "":
		return principal
	case wide:
		return name + " (" + principal + ")"
	}
	return name
}

func wideFlag(c *cobra.Command, wide *bool) {
	c.Flags().BoolVar(wide, "wide", false, "ids beside names, and nothing cut short")
}
