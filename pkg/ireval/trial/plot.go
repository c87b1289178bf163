package trial

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

// Sizes of a plot, in pixels.
const (
	plotWidth  = 760
	plotHeight = 340
	plotLeft   = 48
	plotRight  = 16
	plotTop    = 44
	plotBottom = 64
)

// colours of rows, apart in brightness too, for those who see no others.
var colours = []string{"#1b4f72", "#e67e22", "#27ae60", "#8e44ad", "#7f8c8d", "#c0392b"}

// Plot draws the report as SVG: a group of bars for each figure, a bar for each
// row, and on nDCG@10 the interval of its mean.
func (r *Report) Plot(w io.Writer) error {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) } // to memory
	p(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="system-ui, sans-serif" font-size="12">`, plotWidth, plotHeight)
	title := fmt.Sprintf("%s: %d queries", r.Title, r.Queries)
	p(`<title>%s</title>`, html.EscapeString(title))
	p(`<rect width="100%%" height="100%%" fill="#ffffff"/>`)
	p(`<text x="%d" y="20" font-size="14" font-weight="600">%s</text>`, plotLeft, html.EscapeString(title))
	high, wide := float64(plotHeight-plotTop-plotBottom), float64(plotWidth-plotLeft-plotRight)
	y := func(v float64) float64 { return plotTop + high*(1-math.Min(math.Max(v, 0), 1)) }
	for i := 0; i <= 5; i++ {
		v := float64(i) / 5
		p(`<line x1="%d" x2="%d" y1="%.1f" y2="%.1[3]f" stroke="#dddddd"/>`, plotLeft, plotWidth-plotRight, y(v))
		p(`<text x="%d" y="%.1f" text-anchor="end" fill="#555555">%.1f</text>`, plotLeft-6, y(v)+4, v)
	}
	group := wide / float64(len(Names))
	bar := group * .8 / math.Max(float64(len(r.Rows)), 1)
	for g, name := range Names {
		x := plotLeft + group*float64(g) + group*.1
		for i, row := range r.Rows {
			v := row.Figures[name]
			at := x + bar*float64(i)
			p(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s %s %.4f</title></rect>`,
				at, y(v), bar*.9, y(0)-y(v), colours[i%len(colours)], html.EscapeString(row.Name), name, v)
			if name == Decisive {
				mid := at + bar*.45
				p(`<path d="M%.1f %.1fV%.1fM%.1f %.1[2]fh6M%.1[4]f %.1[3]fh6" stroke="#111111" fill="none"/>`, mid, y(row.High), y(row.Low), mid-3)
			}
		}
		p(`<text x="%.1f" y="%d" text-anchor="middle">%s</text>`, x+group*.4, plotHeight-plotBottom+18, strings.Replace(name, "ndcg", "nDCG", 1))
	}
	at := plotLeft
	for i, row := range r.Rows {
		label := fmt.Sprintf("%s %.4f", row.Name, row.Figures[Decisive])
		p(`<rect x="%d" y="%d" width="11" height="11" fill="%s"/><text x="%d" y="%d">%s</text>`,
			at, plotHeight-28, colours[i%len(colours)], at+16, plotHeight-18, html.EscapeString(label))
		at += 40 + 7*len(label)
	}
	p(`</svg>`)
	_, err := w.Write(b.Bytes())
	return err
}
