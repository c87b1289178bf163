package answer

import (
	"crypto/sha256"
	"fmt"

	"github.com/maypok86/otter/v2"

	"github.com/commandcenter/commandcenter/pkg/tenant"
)

// group is what the answers to a question depend on beside its words: whose
// project, which model, how much it may write, and the passages that it is given,
// under their numbers. An answer is good for as long as they are the same, whatever
// else changes in the project.
type group [sha256.Size]byte

func (a *Answerer) group(p tenant.Project, sources []Source) group {
	h := sha256.New()
	fmt.Fprintf(h, "%d %q %d\n", p, a.model.Name(), a.c.Tokens) // never fails
	for _, s := range sources {
		fmt.Fprintf(h, "%d %q %q %q %d %q\n", s.Passage.ID, s.Title, s.Path, s.Passage.Source, s.Page, s.text())
	}
	return group(h.Sum(nil))
}

// mostOfGroup bounds the questions that are kept of one group.
const mostOfGroup = 16

// kept is what is kept of a group, the oldest first. It is replaced, never changed.
type kept []one

type one struct {
	Answer
	vector []float32 // of the question; nil where none was made
}

// memory keeps answers; nil keeps none.
type memory = otter.Cache[group, kept]

func newMemory(bytes int64) *memory {
	if bytes <= 0 {
		return nil
	}
	return otter.Must(&otter.Options[group, kept]{MaximumWeight: uint64(bytes), Executor: func(evict func()) { evict() }, Weigher: func(_ group, k kept) uint32 {
		n := 256
		for _, x := range k {
			n += 1024 + len(x.Question) + len(x.Text) + 4*len(x.vector)
			for _, c := range x.Citations {
				n += 512 + len(c.Quote)
			}
		}
		return uint32(min(n, 1<<31)) //nolint:gosec // G115: bounded in the line
	}})
}

// recall is the answer that is kept for a question with the vector, or for one that
// is as similar as the configuration wants.
func (a *Answerer) recall(g group, question string, vector []float32) (Answer, bool) {
	k, _ := a.memory.GetIfPresent(g)
	best, at := a.c.Similar, -1
	for i, x := range k {
		if x.Question == question {
			return x.Answer, true
		}
		if c := cosine(x.vector, vector); a.c.Similar > 0 && c >= best {
			best, at = c, i
		}
	}
	if at < 0 {
		return Answer{}, false
	}
	return k[at].Answer, true
}

// remember keeps an answer. Its sources are those of whoever asks next.
func (a *Answerer) remember(g group, x Answer, vector []float32) {
	x.Sources, x.Found.Found, x.Usage = nil, nil, nil
	a.memory.Compute(g, func(k kept, _ bool) (kept, otter.ComputeOp) {
		next := make(kept, 0, len(k)+1)
		for _, o := range k[max(0, len(k)-mostOfGroup+1):] {
			if o.Question != x.Question {
				next = append(next, o)
			}
		}
		return append(next, one{x, vector}), otter.WriteOp
	})
}

// cosine of two vectors of unit length; 0 when they are not of one model.
func cosine(a, b []float32) (sum float64) {
	if len(a) != len(b) {
		return 0
	}
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}
