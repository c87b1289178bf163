package radar

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// scale is how many pixels a point has. Who wants more takes the SVG.
const scale = 1

// fonts are parsed once: the Go fonts, which are free to ship.
var fonts = sync.OnceValues(func() (both [2]*opentype.Font, err error) {
	for i, ttf := range [][]byte{goregular.TTF, gobold.TTF} {
		if both[i], err = opentype.Parse(ttf); err != nil {
			return both, fmt.Errorf("read a font: %w", err)
		}
	}
	return both, nil
})

// PNG is the radar as pixels.
func (r Radar) PNG(title string) ([]byte, error) {
	both, err := fonts()
	if err != nil {
		return nil, err
	}
	c := &pixels{img: image.NewRGBA(image.Rect(0, 0, width*scale, height*scale)), fonts: both, faces: map[face]font.Face{}}
	draw.Draw(c.img, c.img.Bounds(), image.White, image.Point{}, draw.Src)
	r.draw(c, title)
	if c.err != nil {
		return nil, c.err
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&out, c.img); err != nil {
		return nil, fmt.Errorf("write the picture: %w", err)
	}
	return out.Bytes(), nil
}

type face struct {
	size float64
	bold bool
}

type pixels struct {
	img   *image.RGBA
	fonts [2]*opentype.Font
	faces map[face]font.Face
	err   error
}

func (s shade) colour() *image.Uniform {
	return image.NewUniform(color.RGBA{R: uint8(s >> 16), G: uint8(s >> 8), B: uint8(s), A: 0xff}) //nolint:gosec // G115: the bytes of a colour
}

// fill paints a path of points, in points of the picture. A second path is a hole when
// it goes the other way round.
func (c *pixels) fill(colour shade, paths ...[][2]float64) {
	at := image.Rectangle{Min: image.Pt(math.MaxInt32, math.MaxInt32)}
	for _, path := range paths {
		for _, p := range path {
			at.Min.X, at.Min.Y = min(at.Min.X, int(p[0]*scale)-1), min(at.Min.Y, int(p[1]*scale)-1)
			at.Max.X, at.Max.Y = max(at.Max.X, int(p[0]*scale)+2), max(at.Max.Y, int(p[1]*scale)+2)
		}
	}
	z := vector.NewRasterizer(at.Dx(), at.Dy())
	to := func(p [2]float64) (x, y float32) {
		return float32(p[0]*scale - float64(at.Min.X)), float32(p[1]*scale - float64(at.Min.Y))
	}
	for _, path := range paths {
		z.MoveTo(to(path[0]))
		for _, p := range path[1:] {
			z.LineTo(to(p))
		}
		z.ClosePath()
	}
	z.Draw(c.img, at, colour.colour(), image.Point{})
}

// round is a circle as points; backwards for a hole.
func round(x, y, r float64, backwards bool) [][2]float64 {
	n := max(24, int(r*2))
	out := make([][2]float64, n)
	for i := range out {
		a := 2 * math.Pi * float64(i) / float64(n)
		if backwards {
			a = -a
		}
		out[i] = [2]float64{x + r*math.Cos(a), y + r*math.Sin(a)}
	}
	return out
}

// thick is half of how wide a line is.
const thick = 0.75

// large is a radius from which circles are drawn row by row: what draws paths costs
// as much as their bounds are wide, which is most of the picture for each ring.
const large = 50

func (c *pixels) disc(x, y, r float64, fill shade) {
	if r < large {
		c.fill(fill, round(x, y, r, false))
		return
	}
	colour := fill.colour()
	c.ring(x, y, 0, r, fill, func(row, from, to int) {
		draw.Draw(c.img, image.Rect(from, row, to, row+1), colour, image.Point{}, draw.Src)
	})
}

func (c *pixels) circle(x, y, r float64, line shade) {
	if r < large {
		c.fill(line, round(x, y, r+thick, false), round(x, y, r-thick, true))
		return
	}
	c.ring(x, y, r-thick, r+thick, line, nil)
}

// ring paints what lies between two radii about a point. whole paints the pixels
// of a row that surely lie within; without it every pixel is looked at.
func (c *pixels) ring(x, y, inner, outer float64, colour shade, whole func(row, from, to int)) {
	x, y, inner, outer = x*scale, y*scale, inner*scale, outer*scale
	half := func(r, dy float64) float64 { return math.Sqrt(max(0, r*r-dy*dy)) } // of the chord of a row
	for row := int(y - outer - 1); row <= int(y+outer+1); row++ {
		dy := float64(row) + 0.5 - y
		far, near := half(outer+1, dy), half(inner-1, dy)
		if whole != nil {
			near = half(outer-1, dy)
			whole(row, int(math.Ceil(x-near)), int(x+near))
		}
		for _, side := range [2][2]int{{int(x - far), int(math.Ceil(x - near))}, {max(int(x+near), int(math.Ceil(x-near))), int(x+far) + 1}} {
			for col := side[0]; col < side[1]; col++ {
				d := math.Hypot(float64(col)+0.5-x, dy)
				c.blend(col, row, colour, min(1, outer-d+0.5)-max(0, min(1, inner-d+0.5)))
			}
		}
	}
}

// blend paints so much of a pixel.
func (c *pixels) blend(x, y int, s shade, much float64) {
	if much <= 0 {
		return
	}
	at := c.img.Pix[c.img.PixOffset(x, y):][:3:3]
	for i, v := range [3]shade{s >> 16, s >> 8, s} {
		at[i] = uint8(math.Round(float64(at[i])*(1-much) + float64(v&0xff)*much)) //nolint:gosec // G115: between two bytes
	}
}

func (c *pixels) line(x1, y1, x2, y2 float64, line shade) {
	length := math.Hypot(x2-x1, y2-y1)
	dx, dy := (x2-x1)/length*thick, (y2-y1)/length*thick
	c.fill(line, [][2]float64{{x1 - dy, y1 + dx}, {x2 - dy, y2 + dx}, {x2 + dy, y2 - dx}, {x1 + dy, y1 - dx}})
}

func (c *pixels) polygon(points [][2]float64, fill shade) { c.fill(fill, points) }

func (c *pixels) text(x, y, size float64, bold bool, align string, fill shade, s string) {
	key := face{size, bold}
	if c.faces[key] == nil {
		of := c.fonts[0]
		if bold {
			of = c.fonts[1]
		}
		f, err := opentype.NewFace(of, &opentype.FaceOptions{Size: size * scale, DPI: 72, Hinting: font.HintingNone})
		if err != nil {
			c.err = fmt.Errorf("read a font: %w", err)
			return
		}
		c.faces[key] = f
	}
	d := font.Drawer{Dst: c.img, Src: fill.colour(), Face: c.faces[key]}
	wide := float64(d.MeasureString(s)) / 64
	switch x *= scale; align {
	case "middle":
		x -= wide / 2
	case "end":
		x -= wide
	}
	d.Dot = fixed.Point26_6{X: fixed.Int26_6(x * 64), Y: fixed.Int26_6(y * scale * 64)}
	d.DrawString(s)
}
