package lexical

import (
	"sort"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/bitmap"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/topk"
)

// slack keeps rounding from pruning a passage that ties with the last of the
// best.
const slack = 1 - 1e-9

// Search returns the best k of the passages in allow (nil: all), best first.
// before breaks ties between slots and must be the same on every replica.
func (q *Query) Search(k int, allow *bitmap.Set, before func(a, b uint32) bool) []Hit {
	if k <= 0 || len(q.legs) == 0 {
		return nil
	}
	// MaxScore: legs by rising bound. While the k-th best score is above what
	// the first legs can give together, a passage that only they hold cannot
	// enter; so candidates come from the other legs alone.
	order := make([]int, len(q.legs))
	for i := range order {
		order[i] = i
		q.legs[i].at = 0
	}
	sort.SliceStable(order, func(i, j int) bool { return q.legs[order[i]].bound < q.legs[order[j]].bound })
	sums := make([]float64, len(order)) // of the bounds up to and with i
	total := 0.0
	for i, o := range order {
		total += q.legs[o].bound
		sums[i] = total
	}
	best := topk.New(k, before)
	shares := make([]float64, len(q.legs))
	first := 0
	floor := 0.0
	for {
		for first < len(order) && sums[first] < floor*slack {
			first++
		}
		if first == len(order) {
			break
		}
		slot, any := q.next(order[first:])
		if !any {
			break
		}
		ok := q.x.alive.Has(slot) && (allow == nil || allow.Has(slot))
		clear(shares)
		sum := 0.0
		for _, o := range order[first:] {
			if l := &q.legs[o]; l.at < len(l.list) && l.list[l.at].slot == slot {
				if ok {
					shares[o] = q.share(l, l.list[l.at])
					sum += shares[o]
				}
				l.at++
			}
		}
		for i := first - 1; i >= 0 && ok; i-- {
			if ok = sum+sums[i] >= floor*slack; !ok {
				break
			}
			l := &q.legs[order[i]]
			l.seek(slot)
			if l.at < len(l.list) && l.list[l.at].slot == slot {
				shares[order[i]] = q.share(l, l.list[l.at])
				sum += shares[order[i]]
			}
		}
		if !ok || sum < floor*slack {
			continue
		}
		score := 0.0 // in the order of the terms, as in Score
		for _, s := range shares {
			score += s
		}
		best.Offer(slot, score)
		floor = best.Floor()
	}
	ranked := best.Ranked()
	hits := make([]Hit, len(ranked))
	for i, r := range ranked {
		hits[i] = Hit(r)
	}
	return hits
}

// next is the lowest slot at which one of the legs stands.
func (q *Query) next(order []int) (slot uint32, any bool) {
	for _, o := range order {
		if l := &q.legs[o]; l.at < len(l.list) {
			if s := l.list[l.at].slot; !any || s < slot {
				slot, any = s, true
			}
		}
	}
	return slot, any
}

// seek moves to the first posting that is not before slot, in strides that
// double.
func (l *leg) seek(slot uint32) {
	if l.at >= len(l.list) || l.list[l.at].slot >= slot {
		return
	}
	lo, step := l.at, 1
	for lo+step < len(l.list) && l.list[lo+step].slot < slot {
		lo += step
		step *= 2
	}
	hi := min(lo+step, len(l.list))
	l.at = lo + 1 + sort.Search(hi-lo-1, func(i int) bool { return l.list[lo+1+i].slot >= slot })
}
