package sheet

import "strings"

// Inert keeps a spreadsheet from taking a text for a formula, by an apostrophe that
// [Live] takes off again.
func Inert(s string) string {
	if formula(s) {
		return "'" + s
	}
	return s
}

// Live is the text that Inert was given.
func Live(s string) string {
	if formula(s) {
		return strings.TrimPrefix(s, "'")
	}
	return s
}

// formula reports whether s begins as a formula does, behind any apostrophes.
func formula(s string) bool {
	s = strings.TrimLeft(s, "'")
	return s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0]))
}
