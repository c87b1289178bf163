package index

import (
	"slices"
	"strings"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
)

// Settings are what a project has set about its searches. Those of the zero
// value are the instance's.
type Settings struct {
	Mode      Mode
	Alpha     float64 // weight of the vector leg, if Weighted
	Weighted  bool
	Method    fusion.Method
	Languages string // codes of the languages of texts, the usual one first, joined by commas
}

// Spoken are the languages of texts.
func (s Settings) Spoken() []terms.Language {
	var out []terms.Language
	for code := range strings.SplitSeq(s.Languages, ",") {
		if l, ok := terms.ParseLanguage(code); ok && !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	if out == nil {
		return []terms.Language{terms.English}
	}
	return out
}

// stale reports whether the project has set other languages since the index was
// made.
func (x *Index) stale() bool {
	return !slices.Equal(x.State().Settings.Spoken(), x.c.Languages)
}
