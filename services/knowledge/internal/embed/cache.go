package embed

import (
	"encoding/binary"

	"github.com/maypok86/otter/v2"
)

// newCache keeps the vectors of so many queries, by their tokens: texts that differ
// in case, accents or blanks are one query to the model, which those who ask it at
// the same time run once.
func newCache(entries int) *otter.Cache[string, []float32] {
	if entries <= 0 {
		return nil
	}
	return otter.Must(&otter.Options[string, []float32]{MaximumSize: entries})
}

// keyOf spells tokens as a string; a number of a token fits four bytes.
func keyOf(tokens []int32) string {
	b := make([]byte, 0, 4*len(tokens))
	for _, t := range tokens {
		b = binary.LittleEndian.AppendUint32(b, uint32(t))
	}
	return string(b)
}
