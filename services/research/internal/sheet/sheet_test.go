package sheet_test

import (
	"testing"

	"github.com/commandcenter/commandcenter/services/research/internal/sheet"
)

func TestACellIsNoFormulaAndComesBackAsItWas(t *testing.T) {
	t.Parallel()
	for text, cell := range map[string]string{"": "", "Go": "Go", "=1+1": "'=1+1", "'=x": "''=x", "-3": "'-3", "@a": "'@a", "'quoted'": "'quoted'"} {
		if got := sheet.Inert(text); got != cell || sheet.Live(got) != text {
			t.Errorf("%q is %q, and back %q", text, got, sheet.Live(got))
		}
	}
}
