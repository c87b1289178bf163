package bitmap_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/bitmap"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/wire"
)

func TestASetIsReadAsItWasWrittenAndHasNoMemberAboveTheLimit(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := wire.NewWriter(&out)
	s := set(1, 64, 100, 1000)
	s.Remove(1000) // leaves empty words, which are not written
	s.Save(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	load := func(limit int) ([]uint32, error) {
		var got bitmap.Set
		r := wire.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
		got.Load(r, limit)
		return slices.Collect(got.All), r.Err()
	}
	if got, err := load(101); err != nil || !slices.Equal(got, []uint32{1, 64, 100}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := load(100); err == nil || len(got) > 0 {
		t.Errorf("a member above the limit: %v, %v", got, err)
	}
}
