package embedtest_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed/embedtest"
)

func TestEachNewModelGivesEqualTextsTheSameVector(t *testing.T) {
	t.Parallel()
	var first []float32
	for range 2 {
		v, err := embedtest.New(t, embed.Options{}).EmbedQuery(t.Context(), "the same text")
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !slices.Equal(v, first) {
			t.Error("two models differ")
		}
		first = v
	}
}

func TestAModelCannotBeWrittenToNowhere(t *testing.T) {
	t.Parallel()
	if err := embedtest.WriteModel(filepath.Join(t.TempDir(), "missing"), embedtest.Small, 1); err == nil {
		t.Error("written")
	}
}
