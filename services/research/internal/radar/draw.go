package radar

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/commandcenter/commandcenter/services/research/internal/technology"
)

// The picture, in points.
const (
	width, height = 1600, 1000
	centreX       = 800
	centreY       = 530
	radius        = 420
	blipRadius    = 10
	legendWidth   = 350
	lineHeight    = 17
	legendHeight  = 430 // of one quadrant
)

// shade is a colour, 0xRRGGBB.
type shade uint32

const (
	white shade = 0xffffff
	ink   shade = 0x1d2733
	faint shade = 0x8a94a3
	rule  shade = 0xd5dae1
)

// Of the four quadrants, and of the rings from the innermost on.
var (
	quadrantShades = []shade{0x1f77b4, 0x2a8f5b, 0xc2410c, 0x7c3aed}
	ringShades     = []shade{0xe3e9f0, 0xebf0f5, 0xf2f5f9, 0xf8fafc}
)

// canvas is what a picture is drawn on. Later shapes cover earlier ones.
type canvas interface {
	disc(x, y, r float64, fill shade)
	circle(x, y, r float64, line shade)
	line(x1, y1, x2, y2 float64, line shade)
	polygon(points [][2]float64, fill shade)
	// text stands on y; align is "start", "middle" or "end".
	text(x, y, size float64, bold bool, align string, fill shade, s string)
}

// draw draws the radar, with its legend at both sides.
func (r Radar) draw(c canvas, title string) {
	c.text(width/2, 44, 26, true, "middle", ink, title)
	c.text(width/2, 70, 14, false, "middle", faint, fmt.Sprintf("%s · %d technologies · since %s: arrows moved, circled are new", r.At.Format("2 January 2006"), len(r.Blips), r.Since.Format("2 January 2006")))
	for i := len(Edges) - 1; i >= 0; i-- {
		c.disc(centreX, centreY, Edges[i]*radius, ringShades[i])
		c.circle(centreX, centreY, Edges[i]*radius, rule)
	}
	c.line(centreX-radius, centreY, centreX+radius, centreY, rule)
	c.line(centreX, centreY-radius, centreX, centreY+radius, rule)
	inner := 0.0
	for i, ring := range technology.Rings {
		c.text(centreX, centreY-(inner+Edges[i])/2*radius+4, 12, true, "middle", faint, string(ring))
		inner = Edges[i]
	}
	for _, b := range r.Blips {
		b.draw(c)
	}
	// Clockwise from the upper left, as the quadrants are.
	for i, at := range [][2]float64{{24, 110}, {width - 24 - legendWidth, 110}, {width - 24 - legendWidth, 560}, {24, 560}} {
		r.legend(c, i, at[0], at[1])
	}
}

func (b Blip) draw(c canvas) {
	x, y := centreX+b.X*radius, centreY+b.Y*radius
	fill := quadrantShades[slices.Index(technology.Quadrants, b.Quadrant)]
	b.mark(c, x, y, fill)
	c.text(x, y+3.5, 9, true, "middle", white, fmt.Sprint(b.Number))
}

// mark is a disc for what stays, a ring around it for what is new, and an arrow to the
// centre or away from it for what moved.
func (b Blip) mark(c canvas, x, y float64, fill shade) {
	switch b.Movement {
	case New:
		c.circle(x, y, blipRadius+3.5, fill)
	case In, Out:
		length := math.Max(math.Hypot(b.X, b.Y), 1e-6)
		dx, dy := b.X/length, b.Y/length
		if b.Movement == In {
			dx, dy = -dx, -dy
		}
		const base, tip = blipRadius - 2, blipRadius + 8
		c.polygon([][2]float64{{x + dx*tip, y + dy*tip}, {x + dx*base - dy*7, y + dy*base + dx*7}, {x + dx*base + dy*7, y + dy*base - dx*7}}, fill)
	}
	c.disc(x, y, blipRadius, fill)
}

// legend lists the blips of a quadrant; what has no room is counted.
func (r Radar) legend(c canvas, quadrant int, x, y float64) {
	name := technology.Quadrants[quadrant]
	c.text(x, y, 16, true, "start", quadrantShades[quadrant], Heading(name))
	end := y + legendHeight
	y += 8
	left := 0
	var ring technology.Ring
	for _, b := range r.Blips {
		if b.Quadrant != name {
			continue
		}
		need := float64(lineHeight)
		if b.Ring != ring {
			need += lineHeight + 4
		}
		if left > 0 || y+need > end-lineHeight {
			left++
			continue
		}
		if b.Ring != ring {
			ring = b.Ring
			y += lineHeight + 4
			c.text(x, y, 11, true, "start", faint, string(ring))
		}
		y += lineHeight
		c.text(x, y, 13, false, "start", ink, fmt.Sprintf("%d  %s%s", b.Number, shortened(b.Title, 42), signs[b.Movement]))
	}
	if left > 0 {
		c.text(x, y+lineHeight, 12, false, "start", faint, fmt.Sprintf("and %d more", left))
	}
}

var signs = map[Movement]string{New: "  (new)", In: "  (in)", Out: "  (out)", Stays: ""}

// Heading is the name of a quadrant for people.
func Heading(q technology.Quadrant) string {
	switch q {
	case "techniques":
		return "Techniques"
	case "tools":
		return "Tools"
	case "platforms":
		return "Platforms"
	}
	return "Languages & Frameworks"
}

func shortened(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
