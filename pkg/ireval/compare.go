package ireval

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Difference is how much one run differs from another on the same queries.
type Difference struct {
	Queries int
	Mean    float64 // of the second above the first
	// P is how likely a difference of this size is if the two are alike: the
	// two-sided p-value of the randomisation test.
	P float64
	// Low and High bound the mean difference at 95 %, by bootstrap.
	Low, High    float64
	Better, Same int // queries on which the second is ahead, and as good
}

// Significant reports whether chance explains it in less than one of twenty
// cases.
func (d Difference) Significant() bool { return d.Queries > 0 && d.P < .05 }

// Draws is how many times each of the two procedures of [Compare] draws.
const Draws = 10_000

// Compare says by how much b is above a, figures of the same queries in the same
// order. What is longer counts as far as the other goes. Equal seeds draw
// alike, so that a report can be made again.
func Compare(a, b []float64, seed uint64) Difference {
	n := min(len(a), len(b))
	d := Difference{Queries: n, P: 1}
	if n == 0 {
		return d
	}
	diffs := make([]float64, n)
	for i := range diffs {
		diffs[i] = b[i] - a[i]
		switch {
		case diffs[i] > 0:
			d.Better++
		case diffs[i] == 0:
			d.Same++
		}
	}
	d.Mean = mean(diffs)
	rng := rand.New(rand.NewPCG(seed, uint64(n))) //nolint:gosec // G404: a draw that can be repeated
	d.P = randomised(rng, diffs, math.Abs(d.Mean))
	d.Low, d.High = bootstrapped(rng, diffs)
	return d
}

// Interval bounds the mean of v at 95 %, by bootstrap.
func Interval(v []float64, seed uint64) (low, high float64) {
	if len(v) == 0 {
		return 0, 0
	}
	return bootstrapped(rand.New(rand.NewPCG(seed, uint64(len(v)))), v) //nolint:gosec // G404: as above
}

// randomised is the share of random swaps of the two runs, query by query, that
// lie at least as far apart. The pair as it was counts as one of them, so that
// nothing is ever called impossible.
func randomised(rng *rand.Rand, diffs []float64, apart float64) float64 {
	const dust = 1e-12 // sums of the same numbers in another order
	far := 1
	for range Draws {
		sum, bits := 0.0, uint64(0)
		for i, x := range diffs {
			if i%64 == 0 {
				bits = rng.Uint64()
			}
			if bits&1 == 1 {
				x = -x
			}
			bits >>= 1
			sum += x
		}
		if math.Abs(sum)/float64(len(diffs)) >= apart-dust {
			far++
		}
	}
	return float64(far) / (Draws + 1)
}

// bootstrapped are the 2.5th and 97.5th percentiles of means of samples with
// replacement.
func bootstrapped(rng *rand.Rand, v []float64) (low, high float64) {
	means := make([]float64, Draws)
	for i := range means {
		sum := 0.0
		for range v {
			sum += v[rng.IntN(len(v))]
		}
		means[i] = sum / float64(len(v))
	}
	slices.Sort(means)
	return means[Draws*25/1000], means[Draws*975/1000-1]
}
