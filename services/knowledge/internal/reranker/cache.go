package reranker

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/maypok86/otter/v2"
)

// key is a model, a question and a passage: a score depends on nothing else, so
// that it does not matter whose they are.
type key [16]byte

func keyOf(model, question, passage string) (k key) {
	h := sha256.New()
	for _, s := range []string{model, question, passage} {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(s)))) // never fails
		h.Write([]byte(s))
	}
	copy(k[:], h.Sum(nil))
	return k
}

// cache keeps scores.
type cache = otter.Cache[key, float64]

func newCache(most int) *cache {
	return otter.Must(&otter.Options[key, float64]{MaximumSize: most})
}
