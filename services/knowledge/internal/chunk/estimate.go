package chunk

import (
	"unicode"
	"unicode/utf8"
)

// Estimate counts tokens without a vocabulary. It is used while the model is
// not there, and rather says too many than too few: a chunk that is a little
// short costs less than one whose end the model never sees.
type Estimate struct{}

// Count estimates the WordPiece tokens of text: one per punctuation mark and
// per ideograph, one per five letters of a word.
func (Estimate) Count(text string) int {
	n, run, digits := 0, 0, 0
	end := func() {
		n += (run+4)/5 + (digits+1)/2
		run, digits = 0, 0
	}
	for i := 0; i < len(text); {
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(text[i:])
		}
		i += size
		switch {
		case r < utf8.RuneSelf && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'):
			run++
		case r >= '0' && r <= '9':
			digits++
		case r == ' ' || r == '\n' || r == '\t':
			end()
		case r >= utf8.RuneSelf && unicode.IsLetter(r) && r < 0x2e80:
			run += 2
		case r >= utf8.RuneSelf && unicode.IsSpace(r):
			end()
		default:
			end()
			n++
		}
	}
	end()
	return n
}
