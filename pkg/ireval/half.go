package ireval

import "hash/fnv"

// Half is one of the two into which the queries of a collection fall: what is
// tuned on the first is reported on the second.
type Half string

// The halves; the empty one is all.
const (
	All    Half = ""
	Tuning Half = "tuning"
	Report Half = "report"
)

// HalfOf is the half of a query. It depends on the query's id alone: it stays
// there whatever else is added or removed.
func HalfOf(query string) Half {
	h := fnv.New32a()
	h.Write([]byte(query))
	// The low bits of FNV follow the last byte; the high ones are mixed.
	if (h.Sum32()*2654435769)>>31 == 0 {
		return Tuning
	}
	return Report
}

// Has reports whether a query is in the half.
func (h Half) Has(query string) bool { return h == All || HalfOf(query) == h }
