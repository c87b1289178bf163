package radar

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/commandcenter/commandcenter/services/research/internal/technology"
)

// Movement is what became of a technology since a date.
type Movement string

// The movements.
const (
	Stays Movement = "none"
	In    Movement = "in"    // to a ring nearer to the centre
	Out   Movement = "out"   // to one farther off
	New   Movement = "added" // it was not there
)

// Blip is one technology on the radar.
type Blip struct {
	Number   int // on the picture and in its legend, from 1
	ID       int64
	Title    string
	Status   technology.Status
	Quadrant technology.Quadrant
	Ring     technology.Ring
	Movement Movement
	// Where it stands: the centre is at 0, 0, the outermost ring at 1; X grows to the
	// right and Y down.
	X, Y float64
}

// Radar is how a project stands, and what changed since a date.
type Radar struct {
	At, Since time.Time
	Blips     []Blip // by quadrant, ring and title
}

// Edges are the radii of the rings, from the innermost on.
var Edges = []float64{0.38, 0.62, 0.82, 1}

// size is the radius of a blip, as far as places are concerned.
const size = 0.022

// Of is the radar of technologies, where then tells on which ring each stood at since.
func Of(all []technology.Technology, then map[int64]technology.Ring, at, since time.Time) Radar {
	r := Radar{At: at, Since: since, Blips: make([]Blip, 0, len(all))}
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b technology.Technology) int { return cmp.Compare(a.ID, b.ID) })
	taken := map[area][]Blip{}
	for _, x := range all {
		b := Blip{ID: x.ID, Title: x.Title, Status: x.Status, Quadrant: x.InQuadrant(), Ring: x.OnRing(), Movement: movement(then, x)}
		a := area{b.Quadrant, b.Ring}
		b.X, b.Y = a.place(x.ID, taken[a])
		taken[a] = append(taken[a], b)
		r.Blips = append(r.Blips, b)
	}
	slices.SortFunc(r.Blips, func(a, b Blip) int {
		return cmp.Or(
			cmp.Compare(slices.Index(technology.Quadrants, a.Quadrant), slices.Index(technology.Quadrants, b.Quadrant)),
			cmp.Compare(a.Ring.Distance(), b.Ring.Distance()), cmp.Compare(a.Title, b.Title), cmp.Compare(a.ID, b.ID))
	})
	for i := range r.Blips {
		r.Blips[i].Number = i + 1
	}
	return r
}

func movement(then map[int64]technology.Ring, x technology.Technology) Movement {
	before, there := then[x.ID]
	switch d := x.OnRing().Distance() - before.Distance(); {
	case !there:
		return New
	case d < 0:
		return In
	case d > 0:
		return Out
	}
	return Stays
}

// area is a ring of a quadrant.
type area struct {
	quadrant technology.Quadrant
	ring     technology.Ring
}

// tries is how many places are looked at for one that is free.
const tries = 60

// crowd is how many blips fill an area: whoever comes then stands anywhere in it.
const crowd = 150

// place finds where a technology stands: of the places that its number leads to, the
// first that is free of the others, or else the one that is farthest from them.
func (a area) place(id int64, others []Blip) (x, y float64) {
	i := a.ring.Distance()
	inner, outer := 0.0, Edges[i]-size
	if i > 0 {
		inner = Edges[i-1]
	}
	inner += 1.5 * size
	from := float64(slices.Index(technology.Quadrants, a.quadrant)) * math.Pi / 2
	r := rand.New(rand.NewPCG(uint64(id), uint64(i))) //nolint:gosec // G115, G404: a place, and the same each time
	best, looks := -1.0, tries
	if len(others) >= crowd {
		others, looks = nil, 1
	}
	for range looks {
		radius := math.Sqrt(inner*inner + r.Float64()*(outer*outer-inner*inner))
		// Not on the line between two quadrants.
		gap := math.Min(1.5*size/radius, math.Pi/8)
		angle := from + gap + r.Float64()*(math.Pi/2-2*gap)
		// The first quadrant is to the upper left, and they go on clockwise.
		px, py := -math.Cos(angle)*radius, -math.Sin(angle)*radius
		near := math.Inf(1)
		for _, o := range others {
			near = min(near, math.Hypot(px-o.X, py-o.Y))
		}
		if near > best {
			best, x, y = near, px, py
		}
		if near >= 2.9*size { // room for what is drawn around it
			break
		}
	}
	return x, y
}
