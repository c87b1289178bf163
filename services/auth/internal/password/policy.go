package password

import (
	_ "embed"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds of a password, in characters.
const (
	MinLength = 8
	MaxLength = 128
)

// Fault says why a password is refused: Type is a stable word for programs, Msg
// a sentence for people. Neither repeats the password.
type Fault struct{ Type, Msg string }

//go:embed common.txt
var common string

// Check returns why plain may not become a password, nil when it may. near are
// words that it must not equal: the caller's address, name and the like.
func Check(plain string, near ...string) *Fault {
	plain = norm.NFC.String(plain)
	switch n := utf8.RuneCountInString(plain); {
	case n < MinLength:
		return &Fault{"string_too_short", "the password needs at least 8 characters"}
	case n > MaxLength:
		return &Fault{"string_too_long", "the password may have at most 128 characters"}
	}
	low := strings.ToLower(plain)
	if distinct(low, 4) < 4 {
		return &Fault{"password_too_common", "the password repeats too few characters"}
	}
	if isCommon(low) {
		return &Fault{"password_too_common", "the password is one of the most common ones"}
	}
	for _, word := range near {
		if word != "" && low == strings.ToLower(norm.NFC.String(word)) {
			return &Fault{"password_too_common", "the password is too close to the account's own data"}
		}
	}
	return nil
}

// decoration is how many trailing digits and signs are seen through:
// "password2026!" is "password" to everyone who guesses.
const decoration = 5

func isCommon(low string) bool {
	if listed(low) {
		return true
	}
	base := strings.TrimRightFunc(low, func(r rune) bool {
		return r < utf8.RuneSelf && (r < 'a' || r > 'z')
	})
	return base != "" && base != low && len(low)-len(base) <= decoration && listed(base)
}

// listed searches the embedded list in place: a map of it would cost a
// megabyte for a question that is asked once per account.
func listed(word string) bool {
	lo, hi := 0, len(common)
	for lo < hi {
		mid := lo + (hi-lo)/2
		start := strings.LastIndexByte(common[lo:mid], '\n') + 1 + lo
		end := hi
		if i := strings.IndexByte(common[start:hi], '\n'); i >= 0 {
			end = start + i
		}
		switch line := common[start:end]; {
		case line == word:
			return true
		case line < word:
			lo = min(end+1, hi)
		default:
			hi = start
		}
	}
	return false
}

// distinct counts the different characters of s, up to enough.
func distinct(s string, enough int) int {
	seen := make([]rune, 0, enough)
next:
	for _, r := range s {
		for _, o := range seen {
			if o == r {
				continue next
			}
		}
		if seen = append(seen, r); len(seen) == enough {
			break
		}
	}
	return len(seen)
}

// Fault is [Check] in two words: type and message, "" twice when plain may
// become a password.
func (h *Hasher) Fault(plain string, near ...string) (word, sentence string) {
	if f := Check(plain, near...); f != nil {
		return f.Type, f.Msg
	}
	return "", ""
}
