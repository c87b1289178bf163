package search_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder/encodertest"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/search"
)

// keeping asks an engine that keeps so many bytes of answers.
func (w *world) keeping(t *testing.T, bytes int64) func(tenant.Project, search.Query) search.Answer {
	t.Helper()
	e := search.NewEngine(w, w, w, none{}, search.Config{Cache: bytes})
	return func(p tenant.Project, q search.Query) search.Answer {
		t.Helper()
		a, err := e.Search(t.Context(), p, q)
		if err != nil {
			t.Error(err)
		}
		return a
	}
}

func TestAnAnswerIsGivenAgainUntilSomethingChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(&encodertest.Model{})
	ask := w.keeping(t, 1<<20)
	q := search.Query{Text: "car", Limit: 2, Mode: index.Keyword}
	first := ask(1, q)
	second := ask(1, q)
	if first.Cached || !second.Cached || w.read.Load() != 1 {
		t.Errorf("cached: %v, then %v, after %d reads", first.Cached, second.Cached, w.read.Load())
	}
	if second.Cached = false; !reflect.DeepEqual(first, second) {
		t.Errorf("%+v, then %+v", first, second)
	}
	// Whatever is said of a question is a part of it, and so is whose it is.
	half := 0.5
	for i, other := range []search.Query{
		{Text: "cars", Limit: 2, Mode: index.Keyword}, {Text: "car", Limit: 3, Mode: index.Keyword}, {Text: "car", Limit: 2}, {Text: "car", Limit: 2, Alpha: &half},
		{Text: "car", Limit: 2, Mode: index.Keyword, Filter: index.Filter{Category: "a"}}, {Text: "car", Limit: 2, Mode: index.Keyword, Offset: 1},
		{Text: "car", Limit: 2, Mode: index.Keyword, Explain: true}, {Text: "car", Limit: 2, Mode: index.Keyword, Fresh: true},
	} {
		if ask(1, other).Cached {
			t.Errorf("question %d was given the answer of another", i)
		}
	}
	if ask(2, q).Cached {
		t.Error("one project was given what was kept of another")
	}
	// A document goes: the database knows before the index does.
	delete(w.passages, 1)
	w.generation = 2
	w.catchUp = func(want int64) {
		w.x.Keep(10, nil)
		w.x.Seen(want)
	}
	if a := ask(1, q); a.Cached || a.Generation != 2 || len(ids(a)) != 0 {
		t.Errorf("after a deletion: %+v", a)
	}
	if a := ask(1, q); a.Cached {
		t.Errorf("the first at the new generation: %+v", a)
	}
	if a := ask(1, q); !a.Cached || len(ids(a)) != 0 {
		t.Errorf("the second: %+v", a)
	}
}

func TestAnAnswerThatMayBeBetterInAMomentIsNotKept(t *testing.T) {
	t.Parallel()
	w := newWorld(nil)
	ask := w.keeping(t, 1<<20)
	on := true
	for range 2 {
		if a := ask(1, search.Query{Text: "car", Mode: index.Keyword, Rerank: search.Rerank{On: &on}}); a.Cached || a.Unranked == "" {
			t.Errorf("without a re-ranker: %+v", a)
		}
	}
	w.generation = 5 // and the index does not get there
	for range 2 {
		if a := ask(1, search.Query{Text: "car", Mode: index.Keyword}); a.Cached {
			t.Errorf("of an index that is behind: %+v", a)
		}
	}
}

func TestAnAnswerByWordsAloneIsKeptForAsLongAsThereIsNoModel(t *testing.T) {
	t.Parallel()
	w := newWorld(nil) // it is on holiday
	ask := w.keeping(t, 1<<20)
	for i, kept := range []bool{false, true} {
		if a := ask(1, search.Query{Text: "car"}); a.Cached != kept || a.Reason == "" {
			t.Errorf("time %d without the model: %+v", i, a)
		}
	}
	w.model = &encodertest.Model{}
	if a := ask(1, search.Query{Text: "car"}); a.Cached || a.Reason != "" {
		t.Errorf("when the model is back: %+v", a)
	}
	fails := search.NewEngine(w, w, mute{w}, none{}, search.Config{Cache: 1 << 20})
	for range 2 {
		if a, err := fails.Search(t.Context(), 1, search.Query{Text: "car"}); err != nil || a.Cached || a.Reason == "" {
			t.Errorf("while the model cannot embed: %+v, %v", a, err)
		}
	}
}

// unasked fails the test when a model is asked for.
type unasked struct{ t *testing.T }

func (u unasked) Encoder(context.Context, string) (search.Encoder, string) {
	u.t.Error("a model is loaded for a search by words")
	return nil, "it is asleep"
}

func TestASearchByWordsLoadsNoModel(t *testing.T) {
	t.Parallel()
	w := newWorld(&encodertest.Model{})
	e := search.NewEngine(w, w, unasked{t}, none{}, search.Config{Cache: 1 << 20})
	for range 2 {
		if _, err := e.Search(t.Context(), 1, search.Query{Text: "car", Mode: index.Keyword}); err != nil {
			t.Error(err)
		}
	}
}

func TestNothingThatIsKeptIsGivenWhereTheDatabaseCannotBeAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(&encodertest.Model{})
	e := search.NewEngine(w, w, w, none{}, search.Config{Cache: 1 << 20})
	for range 2 {
		if _, err := e.Search(t.Context(), 1, search.Query{Text: "red", Mode: index.Keyword}); !errors.Is(err, w.broken) {
			t.Errorf("%v, want %v", err, w.broken)
		}
		w.broken = errors.New("no database")
	}
}

func TestWhatIsKeptHasABound(t *testing.T) {
	t.Parallel()
	w := newWorld(&encodertest.Model{})
	ask := w.keeping(t, 20<<10)
	kept := 0
	for range 2 {
		for i := range 200 {
			if ask(1, search.Query{Text: fmt.Sprintf("car %d", i), Mode: index.Keyword}).Cached {
				kept++
			}
		}
	}
	if kept > 20 {
		t.Errorf("%d answers of at least 1 KiB are kept in 20 KiB", kept)
	}
	ask = w.keeping(t, 0)
	for range 2 {
		if ask(1, search.Query{Text: "car", Mode: index.Keyword}).Cached {
			t.Error("it is kept where nothing is to be")
		}
	}
}

func TestAQuestionOfManyAtOnceIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(&encodertest.Model{})
	synctest.Test(t, func(t *testing.T) {
		w.reading = make(chan struct{})
		ask := w.keeping(t, 1<<20)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if a := ask(1, search.Query{Text: "car", Mode: index.Keyword, Limit: 1}); len(ids(a)) == 0 {
					t.Errorf("%+v", a)
				}
			})
		}
		synctest.Wait()
		close(w.reading)
		all.Wait()
		if n := w.read.Load(); n != 1 {
			t.Errorf("it was answered %d times", n)
		}
	})
}
