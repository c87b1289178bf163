package index

import (
	"errors"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
)

// attempts is how often a search begins again because the index has changed
// while the vectors were asked elsewhere; the last time changes wait.
const attempts = 3

var errMoved = errors.New("the index has changed meanwhile")

// asked is what was heard from a Leg.
type asked struct{ cosines map[uint32]float64 }

func (a *asked) cosine(slot uint32) (float64, bool) {
	c, ok := a.cosines[slot]
	return c, ok
}

// ask asks the Leg for the nearest, and for the cosines of what was found by
// words. It returns the slots of the nearest, nearest first, without those that
// this index does not have; more says that there may be others.
func (l *legs) ask(depth int, found map[uint32]*fusion.Candidate) (slots []uint32, more bool, err error) {
	x := l.x
	var among []int64
	if l.meaning != nil {
		among = []int64{}
		l.meaning.All(func(slot uint32) bool {
			if x.lex.Alive().Has(slot) {
				among = append(among, x.ids[slot])
			}
			return true
		})
	}
	also := make([]int64, 0, len(found))
	for slot, c := range found {
		if _, known := l.far.cosines[slot]; !known {
			also = append(also, c.ID)
		}
	}
	nearest, cosines, err := l.outside(func() ([]Near, map[int64]float64, error) { return l.r.Leg.Nearest(depth, among, also) })
	if err != nil {
		return nil, false, err
	}
	for id, cosine := range cosines {
		l.far.cosines[x.slots[id]] = cosine
	}
	for _, n := range nearest {
		if slot, ok := x.slots[n.ID]; ok && (l.meaning == nil || l.meaning.Has(slot)) {
			slots = append(slots, slot)
			l.far.cosines[slot] = n.Cosine
		}
	}
	return slots, len(nearest) == depth, nil
}

// outside lets the index go while somebody else is asked: changes do not wait
// for that, and who comes behind them neither. When there was one, the search
// has to begin again.
func (l *legs) outside(ask func() ([]Near, map[int64]float64, error)) ([]Near, map[int64]float64, error) {
	if l.firmly {
		return ask()
	}
	before := l.x.count
	l.x.mu.RUnlock()
	nearest, cosines, err := ask()
	l.x.mu.RLock()
	if err == nil && l.x.count != before {
		err = errMoved
	}
	return nearest, cosines, err
}

// between tells how near candidates are to each other; ok is false when one has
// no vector.
func (l *legs) between(pool []fusion.Candidate) (func(a, b fusion.Candidate) (cosine float64, ok bool), error) {
	if l.far == nil {
		return func(a, b fusion.Candidate) (float64, bool) { return l.x.vec.Between(a.Slot, b.Slot) }, nil
	}
	ids := make([]int64, len(pool))
	for i, c := range pool {
		ids[i] = c.ID
	}
	var vectors map[int64][]float32
	_, _, err := l.outside(func() (_ []Near, _ map[int64]float64, err error) {
		vectors, err = l.r.Leg.Vectors(ids)
		return nil, nil, err
	})
	return func(a, b fusion.Candidate) (float64, bool) {
		u, v := vectors[a.ID], vectors[b.ID]
		if len(u) == 0 || len(u) != len(v) {
			return 0, false
		}
		sum := 0.0
		for i := range u {
			sum += float64(u[i]) * float64(v[i])
		}
		return sum, true
	}, err
}
