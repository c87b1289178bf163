package radar

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// SVG is the radar as a picture that keeps sharp, without script or anything from
// elsewhere.
func (r Radar) SVG(title string) []byte {
	c := &svg{}
	fmt.Fprintf(&c.out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="Inter, Helvetica, Arial, sans-serif">`, width, height, width, height)
	c.out.WriteString("\n<title>")
	c.escaped(title)
	fmt.Fprintf(&c.out, "</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", width, height)
	r.draw(c, title)
	c.out.WriteString("</svg>\n")
	return []byte(c.out.String())
}

type svg struct{ out strings.Builder }

func (c *svg) escaped(s string) { _ = xml.EscapeText(&c.out, []byte(s)) } // a builder takes all

func (c *svg) disc(x, y, r float64, fill shade) {
	fmt.Fprintf(&c.out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"#%06x\"/>\n", x, y, r, fill)
}

func (c *svg) circle(x, y, r float64, line shade) {
	fmt.Fprintf(&c.out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"none\" stroke=\"#%06x\" stroke-width=\"1.5\"/>\n", x, y, r, line)
}

func (c *svg) line(x1, y1, x2, y2 float64, line shade) {
	fmt.Fprintf(&c.out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#%06x\" stroke-width=\"1.5\"/>\n", x1, y1, x2, y2, line)
}

func (c *svg) polygon(points [][2]float64, fill shade) {
	c.out.WriteString(`<polygon points="`)
	for i, p := range points {
		if i > 0 {
			c.out.WriteByte(' ')
		}
		fmt.Fprintf(&c.out, "%.1f,%.1f", p[0], p[1])
	}
	fmt.Fprintf(&c.out, "\" fill=\"#%06x\"/>\n", fill)
}

func (c *svg) text(x, y, size float64, bold bool, align string, fill shade, s string) {
	weight := ""
	if bold {
		weight = ` font-weight="600"`
	}
	fmt.Fprintf(&c.out, `<text x="%.1f" y="%.1f" font-size="%g"%s text-anchor="%s" fill="#%06x">`, x, y, size, weight, align, fill)
	c.escaped(s)
	c.out.WriteString("</text>\n")
}
