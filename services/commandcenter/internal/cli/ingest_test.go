package cli

import (
	"errors"
	"testing"

	"github.com/commandcenter/commandcenter/services/commandcenter/internal/ingest"
)

func TestDocumentsThatHaveNotChangedAreCountedApart(t *testing.T) {
	t.Parallel()
	added, replaced := ingest.Result{Outcome: ingest.OutcomeAdded, Chunks: 2}, ingest.Result{Outcome: ingest.OutcomeReplaced, Chunks: 3}
	same, failed := ingest.Result{Outcome: ingest.OutcomeUnchanged, Chunks: 7}, ingest.Result{Err: errors.New("x")}
	for want, results := range map[string][]ingest.Result{
		"3 documents indexed (2 new, 1 replaced), 7 chunks, in 0.0 s. 1 document unchanged.": {added, replaced, same, added, failed},
		"1 document indexed (1 replaced), 3 chunks, in 0.0 s.":                               {replaced},
		"2 documents unchanged: nothing to do, after 0.0 s.":                                 {same, same},
		"": {failed},
	} {
		var r ingestReport
		for _, d := range results {
			r.count(d)
		}
		if got := r.summary(true); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
