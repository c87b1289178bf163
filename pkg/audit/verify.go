package audit

import (
	"fmt"
	"slices"
)

// Anchor is what was said about a log when it reached an entry.
type Anchor struct {
	Chain int64  `json:"project_id"`
	Seq   int64  `json:"seq"`
	Hash  string `json:"hash"`
}

// Fault is one thing that is wrong with a log.
type Fault struct {
	Seq  int64  `json:"seq"` // where
	What string `json:"what"`
}

func (f Fault) String() string { return fmt.Sprintf("entry %d: %s", f.Seq, f.What) }

// maxFaults is how many are told: after a break, one says what a thousand do.
const maxFaults = 100

// Verifier walks through a log from its first entry and computes every hash
// again. It keeps no entry.
type Verifier struct {
	chain   int64
	anchors []Anchor // that are still to come, by place
	last    Anchor
	faults  []Fault
	matched int
}

// NewVerifier verifies the log of chain against anchors, of which those of
// other chains are left out.
func NewVerifier(chain int64, anchors []Anchor) *Verifier {
	v := &Verifier{chain: chain, last: Anchor{Chain: chain}}
	for _, a := range anchors {
		if a.Chain == chain {
			v.anchors = append(v.anchors, a)
		}
	}
	slices.SortStableFunc(v.anchors, func(a, b Anchor) int { return int(a.Seq - b.Seq) })
	return v
}

// Next takes the next entry.
func (v *Verifier) Next(e Entry) {
	want := v.last.Seq + 1
	switch {
	case e.Chain != v.chain:
		v.fault(want, "belongs to the log of project %d", e.Chain)
	case e.Seq == want+1:
		v.fault(want, "is missing")
	case e.Seq > want:
		v.fault(want, "is missing, and all up to entry %d (an export with a filter cannot be verified)", e.Seq-1)
	case e.Seq < want:
		v.fault(e.Seq, "stands after entry %d", v.last.Seq)
	case e.Prev != v.last.Hash:
		v.fault(e.Seq, "does not follow on the entry before it")
	}
	if sum := e.Sum(); sum != e.Hash {
		v.fault(e.Seq, "was changed: its hash is %s, and would have to be %s", e.Hash, sum)
	}
	v.last = Anchor{Chain: v.chain, Seq: e.Seq, Hash: e.Hash}
	for len(v.anchors) > 0 && v.anchors[0].Seq <= e.Seq {
		if a := v.anchors[0]; a.Seq == e.Seq && a.Hash != e.Hash {
			v.fault(a.Seq, "was another one when it was announced, with the hash %s: the log was written anew", a.Hash)
		} else if a.Seq == e.Seq {
			v.matched++
		}
		v.anchors = v.anchors[1:]
	}
}

// End says what is wrong with the log, of which head, if it is not nil, is said
// to be the last entry.
func (v *Verifier) End(head *Anchor) []Fault {
	if head != nil && (head.Seq != v.last.Seq || head.Hash != v.last.Hash) {
		v.fault(head.Seq, "is said to be the last one, with the hash %s; the log ends with entry %d", head.Hash, v.last.Seq)
	}
	for _, a := range v.anchors {
		v.fault(a.Seq, "was announced with the hash %s, and is missing: the log was cut off after entry %d", a.Hash, v.last.Seq)
	}
	v.anchors = nil
	return v.faults
}

// Last is the last entry so far.
func (v *Verifier) Last() Anchor { return v.last }

// Matched is how many anchors the log has met.
func (v *Verifier) Matched() int { return v.matched }

func (v *Verifier) fault(seq int64, format string, args ...any) {
	if len(v.faults) < maxFaults {
		v.faults = append(v.faults, Fault{seq, fmt.Sprintf(format, args...)})
	}
}
