package search_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder/encodertest"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/search"
)

// world is a database of passages and an index that may lag behind it.
type world struct {
	passages   map[int64]search.Passage
	generation int64
	x          *index.Index
	mu         sync.Mutex
	asked      []int64 // generations that the index was wanted at
	catchUp    func(want int64)
	model      *encodertest.Model
	broken     error
	fail       error
	far        []index.Near // of vectors elsewhere
	farFault   error
	read       atomic.Int32  // times that passages were read
	reading    chan struct{} // that reads wait for, if there is one
}

func (w *world) At(_ context.Context, _ tenant.Project, want int64) (*index.Index, error) {
	w.mu.Lock()
	w.asked = append(w.asked, want)
	w.mu.Unlock()
	if w.catchUp != nil && want > w.x.Generation() {
		w.catchUp(want)
	}
	return w.x, w.fail
}

func (w *world) Passages(_ context.Context, _ tenant.Project, ids []int64) (map[int64]search.Passage, int64, error) {
	w.read.Add(1)
	if w.reading != nil {
		<-w.reading
	}
	out := map[int64]search.Passage{}
	for _, id := range ids {
		if p, ok := w.passages[id]; ok {
			out[id] = p
		}
	}
	return out, w.generation, w.broken
}

func (w *world) Generation(context.Context, tenant.Project) (int64, error) {
	return w.generation, w.broken
}

func (w *world) Around(_ context.Context, _ tenant.Project, ids []int64, n int) (map[int64]search.Around, error) {
	out := map[int64]search.Around{}
	for _, id := range ids {
		for i := id - int64(n); i < id; i++ {
			if p, ok := w.passages[i]; ok {
				out[id] = search.Around{Before: append(out[id].Before, p.Text)}
			}
		}
	}
	return out, w.broken
}

// Leg finds no vectors, unless they cannot be asked.
func (w *world) Leg(context.Context, tenant.Project, index.State, int, []float32) *index.Leg {
	return &index.Leg{Nearest: func(int, []int64, []int64) ([]index.Near, map[int64]float64, error) { return w.far, nil, w.farFault }}
}

func (w *world) Encoder(context.Context, string) (search.Encoder, string) {
	if w.model == nil {
		return nil, "the model is on holiday"
	}
	return w.model, ""
}

func (w *world) put(id int64, text, category string) {
	p := search.Passage{ID: id, Document: id * 10, Text: text, Category: category, Collection: "default", Title: "T"}
	w.passages[id] = p
	q := index.Passage{ID: id, Document: p.Document, Title: "T", Body: text, Category: category, Collection: "default"}
	if w.model != nil {
		q.Vector, _ = w.model.EmbedQuery(context.Background(), text)
	}
	if err := w.x.Put([]index.Passage{q}); err != nil {
		panic(err)
	}
}

func newWorld(m *encodertest.Model) *world {
	w := &world{passages: map[int64]search.Passage{}, x: index.New(index.Config{}, &terms.Analyzer{}), model: m, generation: 1}
	w.put(1, "a car on the road", "a")
	w.put(2, "the automobile is red", "a")
	w.put(3, "a cat on the roof", "b")
	w.x.Seen(1)
	return w
}

func (w *world) ask(t *testing.T, q search.Query) search.Answer {
	t.Helper()
	a, err := search.NewEngine(w, w, w, none{}, search.Config{}).Search(t.Context(), 1, q)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func ids(a search.Answer) (out []int64) {
	for _, f := range a.Found {
		out = append(out, f.Passage.ID)
	}
	return out
}

func TestHybridFindsWordsAndMeaning(t *testing.T) {
	t.Parallel()
	w := newWorld(&encodertest.Model{})
	a := w.ask(t, search.Query{Text: "vehicle"})
	if got := ids(a); len(got) != 3 || got[2] != 3 || a.Mode != index.Hybrid || a.Alpha != .5 || a.Method != fusion.Convex || a.Reason != "" {
		t.Errorf("%v: %+v", got, a)
	}
	if a := w.ask(t, search.Query{Text: "automobile", Mode: index.Keyword}); len(a.Found) != 1 || a.Found[0].Passage.Document != 20 {
		t.Errorf("keyword: %v", ids(a))
	}
	zero := 0.0
	if a := w.ask(t, search.Query{Text: "roof", Alpha: &zero, Method: fusion.RRF, Limit: 1}); len(a.Found) != 1 || a.Found[0].Passage.ID != 3 || a.Alpha != 0 || a.Method != fusion.RRF {
		t.Errorf("alpha 0: %+v", a)
	}
}

func TestWithoutModelTheAnswerSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(nil)
	for _, m := range []index.Mode{index.Hybrid, index.Vector} {
		a := w.ask(t, search.Query{Text: "car", Mode: m})
		if a.Mode != index.Keyword || a.Reason != "the model is on holiday" || len(a.Found) != 1 {
			t.Errorf("%s: %+v", m, a)
		}
	}
}

// mute is an encoder that fails.
type mute struct{ *world }

func (mute) Encoder(context.Context, string) (search.Encoder, string) { return mute{}, "" }

func (mute) EmbedQuery(ctx context.Context, _ string) ([]float32, error) {
	return nil, errors.Join(errors.New("too busy"), ctx.Err())
}

func TestQuestionThatCannotBeEmbeddedIsAnsweredByWords(t *testing.T) {
	t.Parallel()
	w := newWorld(nil)
	e := search.NewEngine(w, w, mute{w}, none{}, search.Config{})
	a, err := e.Search(t.Context(), 1, search.Query{Text: "car"})
	if err != nil || a.Mode != index.Keyword || a.Reason == "" || len(a.Found) != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Search(ctx, 1, search.Query{Text: "car"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestOldIndexIsBroughtUpToDateAndAskedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(nil)
	w.generation = 5
	w.catchUp = func(want int64) {
		w.put(4, "a second car", "a")
		w.x.Keep(10, nil)
		w.x.Seen(want)
	}
	delete(w.passages, 1)
	a := w.ask(t, search.Query{Text: "car"})
	if got := ids(a); len(got) != 1 || got[0] != 4 || a.Generation != 5 {
		t.Errorf("found %v at %d, asked at %v", got, a.Generation, w.asked)
	}
}

func TestWhatIsGoneLeavesNoAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(nil)
	w.generation = 99 // the index never gets there
	delete(w.passages, 1)
	if a := w.ask(t, search.Query{Text: "car"}); len(a.Found) != 0 || len(w.asked) != 3 {
		t.Errorf("found %v after %d looks", ids(a), len(w.asked))
	}
	p := w.passages[3]
	p.Category = "moved"
	w.passages[3] = p
	if a := w.ask(t, search.Query{Text: "cat", Filter: index.Filter{Category: "b"}}); len(a.Found) != 0 {
		t.Errorf("found %v, which moved to another category", ids(a))
	}
}

func TestQueriesAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(nil)
	bad := 1.5
	for name, q := range map[string]search.Query{
		"query": {Text: "  "}, "4096": {Text: strings.Repeat("x", 5000)}, "limit": {Text: "a", Limit: 201}, "alpha": {Text: "a", Alpha: &bad},
		"mode": {Text: "a", Mode: "x"}, "fusion": {Text: "a", Method: "x"},
		"offset": {Text: "a", Offset: 1001}, "diversity": {Text: "a", Diversity: 2}, "neighbours": {Text: "a", Neighbours: 4},
	} {
		_, err := search.NewEngine(w, w, w, none{}, search.Config{}).Search(t.Context(), 1, q)
		if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a := w.ask(t, search.Query{Text: `C++ & $PATH <T> "x" | ; a`}); a.Mode == "" {
		t.Error("no answer to legitimate characters")
	}
}

func TestAnswersSayHowTheQueryWasReadAndWhereItsWordsAre(t *testing.T) {
	t.Parallel()
	w := newWorld(&encodertest.Model{})
	a := w.ask(t, search.Query{Text: `+road  vehicle -cat`, Neighbours: 1, Explain: true})
	if got := ids(a); len(got) != 1 || got[0] != 1 || a.Understood != "+road vehicle -cat" || a.Plain || a.Total != 1 {
		t.Errorf("%v: %+v", got, a)
	}
	f := a.Found[0]
	if len(f.Highlights) != 1 || f.Text[f.Highlights[0].Start:f.Highlights[0].End] != "road" || f.Account == nil || len(f.Account.Terms) != 1 || f.Account.Weight != .5 {
		t.Errorf("%+v, %+v", f.Highlights, f.Account)
	}
	if a := w.ask(t, search.Query{Text: "automobile cat", Mode: index.Keyword, Offset: 1, Neighbours: 2}); len(a.Found) != 1 || len(a.Found[0].Before) == 0 || a.Total != 2 || !a.Plain {
		t.Errorf("second page: %+v", a)
	}
	if a := w.ask(t, search.Query{Text: "category:b"}); len(a.Found) != 1 || a.Mode != index.Keyword || a.Reason == "" || a.Found[0].Passage.ID != 3 {
		t.Errorf("conditions alone: %+v", a)
	}
	if a := w.ask(t, search.Query{Text: "car", Mode: index.Vector}); a.Total != -1 {
		t.Errorf("by meaning: %d in all", a.Total)
	}
}

func TestFaultsAreReturned(t *testing.T) {
	t.Parallel()
	w := newWorld(nil)
	w.broken = errors.New("no database")
	e := search.NewEngine(w, w, w, none{}, search.Config{})
	if _, err := e.Search(t.Context(), 1, search.Query{Text: "car"}); !errors.Is(err, w.broken) {
		t.Errorf("error %v", err)
	}
	w.fail = errors.New("no index")
	if _, err := e.Search(t.Context(), 1, search.Query{Text: "car"}); !errors.Is(err, w.fail) {
		t.Errorf("error %v", err)
	}
}

func TestTitleFieldHoldsTitlePathAndSymbols(t *testing.T) {
	t.Parallel()
	if got := search.TitleField("T", []string{"A", "B"}, "f.g"); got != "T \nA \nB \nf.g" {
		t.Errorf("%q", got)
	}
}

// two encodes by the model that it is asked for.
type two map[string]*encodertest.Model

func (m two) Encoder(_ context.Context, model string) (search.Encoder, string) {
	if m[model] == nil {
		return nil, "no " + model
	}
	return m[model], ""
}

func TestAQuestionIsEncodedAsThePassagesOfTheIndexWere(t *testing.T) {
	t.Parallel()
	w := newWorld(&encodertest.Model{})
	w.x.Reached(index.State{Generation: 1, Model: "a"})
	models := two{"a": {}, "b": {}}
	e := search.NewEngine(w, w, models, none{}, search.Config{})
	// Between the look at the index and the look at the passages another model's
	// vectors came to be searched.
	w.generation = 2
	old := w.x
	w.catchUp = func(int64) {
		w.x = index.New(index.Config{}, &terms.Analyzer{})
		w.put(1, "a car on the road", "a")
		w.x.Reached(index.State{Generation: 2, Model: "b"})
	}
	a, err := e.Search(t.Context(), 1, search.Query{Text: "vehicle", Mode: index.Vector})
	if err != nil || a.Mode != index.Vector || a.Reason != "" || len(a.Found) != 1 || a.Generation != 2 || w.x == old {
		t.Errorf("%+v, %v", a, err)
	}
	if a, b := models["a"].Queries(), models["b"].Queries(); a != 1 || b != 1 {
		t.Errorf("encoded %d times by the one, %d by the other", a, b)
	}
	w.x.Reached(index.State{Generation: 2, Model: "c"})
	if a, err := e.Search(t.Context(), 1, search.Query{Text: "car"}); err != nil || a.Mode != index.Keyword || a.Reason != "no c" {
		t.Errorf("a model that is not here: %+v, %v", a, err)
	}
}

func TestVectorsElsewhereAreAskedAndMissedWhereTheyCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(&encodertest.Model{})
	w.x.Reached(index.State{Generation: 1, Backend: index.PGVector})
	w.far = []index.Near{{ID: 3, Cosine: .9}}
	if a := w.ask(t, search.Query{Text: "vehicle", Mode: index.Vector}); a.Mode != index.Vector || a.Reason != "" || len(a.Found) != 1 || a.Found[0].Passage.ID != 3 {
		t.Errorf("%+v", a)
	}
	w.farFault = errors.New("no such table")
	if a := w.ask(t, search.Query{Text: "cat"}); a.Mode != index.Keyword || !strings.Contains(a.Reason, "could not be asked") || len(a.Found) != 1 || a.Found[0].Passage.ID != 3 {
		t.Errorf("%+v", a)
	}
}
