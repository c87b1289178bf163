package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/search"
)

// everyBackend runs a test with a project that is searched by each of the back
// ends. Of pgvector it is skipped where the server does not have it.
func everyBackend(t *testing.T, test func(w *bench)) {
	for _, b := range []index.Backend{index.Memory, index.PGVector, index.PGVectorHalf} {
		t.Run(string(b), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			can, _, _, err := w.s.Backends(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(can, b) {
				t.Skip("this PostgreSQL has no pgvector 0.8 or later: `make pgvector` builds one, CC_PG_BIN names it")
			}
			x := &bench{world: w, backend: b, r: rand.New(rand.NewPCG(1, 1)), vectors: map[int64][]float32{}}
			x.search = search.NewEngine(index.NewLibrary(w.s, index.Config{Graph: few}, 1<<30), w.s, x, noRankers{}, search.Config{})
			if err := w.s.ChooseBackend(t.Context(), 1, b); err != nil {
				t.Fatal(err)
			}
			x.move()
			test(x)
		})
	}
}

// few is from how many passages on both back ends have graphs.
const few = 2000

// dims is a length of vectors for which there is a graph.
const dims = 384

// bench is a project, its vectors, and searches of it.
type bench struct {
	*world
	backend index.Backend
	search  *search.Engine
	r       *rand.Rand
	vectors map[int64][]float32 // by chunk
	centres [][]float32
	ask     []float32 // the vector of the next question
	asked   int
}

type noRankers struct{}

func (noRankers) Names() []string { return nil }

func (noRankers) Rank(context.Context, string, string, []string) ([]float64, string, string, error) {
	return nil, "", "", nil
}

func (x *bench) Encoder(context.Context, string) (search.Encoder, string) { return x, "" }

func (x *bench) EmbedQuery(context.Context, string) ([]float32, error) { return x.ask, nil }

// move does what a job does.
func (x *bench) move() {
	x.Helper()
	for after, n := int64(0), 100; n > 0; {
		var err error
		if after, n, err = x.s.Mirror(x.Context(), 1, after, 100); err != nil {
			x.Fatal(err)
		}
		if after == 0 {
			break
		}
	}
	if _, err := x.s.Serve(x.Context(), 1); err != nil {
		x.Fatal(err)
	}
	for n := 100; n == 100; {
		var err error
		if n, err = x.s.Unmirror(x.Context(), 1, 100); err != nil {
			x.Fatal(err)
		}
	}
	if _, wanted, now, err := x.s.Backends(x.Context(), 1); err != nil || wanted != now {
		x.Fatalf("wanted %q, now %q, %v", wanted, now, err)
	}
}

// vector is near one of twenty others.
func (x *bench) vector() []float32 {
	random := func() []float32 {
		v := make([]float32, dims)
		for i := range v {
			v[i] = float32(x.r.NormFloat64())
		}
		return v
	}
	for len(x.centres) < 20 {
		x.centres = append(x.centres, random())
	}
	v, centre := random(), x.centres[x.r.IntN(20)]
	for i := range v {
		v[i] = centre[i] + .8*v[i]
	}
	return v
}

// add adds a document of n chunks, in one of three collections.
func (x *bench) add(i, n int) document.Document {
	x.Helper()
	texts := make([]string, n)
	for j := range texts {
		texts[j] = fmt.Sprintf("document %d part %d %s", i, j, letters(uint64(x.r.IntN(300))))
	}
	d, cs, blob := draft(1, fmt.Sprintf("%d.md", i), texts...)
	d.Collection, d.Category = fmt.Sprint("c", i%3), fmt.Sprint("k", i%100)
	d, _, err := x.s.Receive(x.Context(), d, cs, blob)
	if err != nil {
		x.Fatal(err)
	}
	todo, err := x.s.Unembedded(x.Context(), d, model, -1, n)
	if err != nil {
		x.Fatal(err)
	}
	vs := make([][]float32, len(todo))
	for j := range vs {
		vs[j] = x.vector()
		x.vectors[todo[j].ID] = vs[j]
	}
	if err := errors.Join(x.s.Embedded(x.Context(), d, model, todo, vs), x.s.Indexed(x.Context(), d, model)); err != nil {
		x.Fatal(err)
	}
	return d
}

func (x *bench) delete(d document.Document) {
	x.Helper()
	if err := x.s.Delete(x.Context(), 1, d.ID, func(document.Document) error { return nil }); err != nil {
		x.Fatal(err)
	}
}

// find searches for the passages near a vector.
func (x *bench) find(near []float32, q search.Query) search.Answer {
	x.Helper()
	x.ask = near
	x.asked++
	if q.Text == "" {
		q.Text = fmt.Sprint("question", x.asked)
	}
	off := false
	q.Rerank.On = &off
	a, err := x.search.Search(x.Context(), 1, q)
	if err != nil || a.Reason != "" {
		x.Fatalf("%v, %q", err, a.Reason)
	}
	return a
}

// exact are the nearest chunks, those that pass keep alone.
func (x *bench) exact(near []float32, k int, keep func(id int64) bool) []int64 {
	var ids []int64
	for id := range x.vectors {
		if keep == nil || keep(id) {
			ids = append(ids, id)
		}
	}
	dot := func(id int64) float64 {
		sum, n := 0.0, 0.0
		for i, e := range x.vectors[id] {
			sum += float64(e) * float64(near[i])
			n += float64(e) * float64(e)
		}
		return sum * sum / n * sign(sum)
	}
	slices.SortFunc(ids, func(a, b int64) int {
		if dot(a) > dot(b) {
			return -1
		}
		return 1
	})
	return ids[:min(k, len(ids))]
}

func sign(f float64) float64 {
	if f < 0 {
		return -1
	}
	return 1
}

func idsOf(a search.Answer) (ids []int64) {
	for _, f := range a.Found {
		ids = append(ids, f.Passage.ID)
	}
	return ids
}

func TestConformanceFewAreFoundExactly(t *testing.T) {
	t.Parallel()
	everyBackend(t, func(x *bench) {
		for i := range 30 {
			x.add(i, 5)
		}
		for range 10 {
			v := x.vector()
			if got, want := idsOf(x.find(v, search.Query{Mode: index.Vector, Limit: 10})), x.exact(v, 10, nil); !slices.Equal(got, want) {
				x.Errorf("found %v, want %v", got, want)
			}
		}
		a := x.find(x.vectors[x.exact(x.vector(), 1, nil)[0]], search.Query{Mode: index.Vector, Limit: 1})
		if c := a.Found[0].Cosine; c < .9999 || c > 1.0001 || !a.Found[0].HasVector || a.Found[0].VectorRank != 1 {
			x.Errorf("%+v", a.Found[0].Hit)
		}
	})
}

func TestConformanceLegsAreJoinedTheSame(t *testing.T) {
	t.Parallel()
	everyBackend(t, func(x *bench) {
		for i := range 40 {
			x.add(i, 5)
		}
		memory := search.NewEngine(index.NewLibrary(inMemory{x}, index.Config{}, 1<<30), x.s, x, noRankers{}, search.Config{})
		for i := range 12 {
			off := false
			x.ask = x.vector()
			q := search.Query{Text: fmt.Sprintf("part %d %s", i%5, letters(uint64(i))), Limit: 8, Explain: true, Rerank: search.Rerank{On: &off}}
			switch i % 4 {
			case 1:
				q.Group, q.Method = true, fusion.RRF
			case 2:
				q.Diversity = .5
			case 3:
				q.Filter.Collection, q.Offset = "c1", 2
			}
			got, err := x.search.Search(x.Context(), 1, q)
			if err != nil {
				x.Fatal(err)
			}
			want, err := memory.Search(x.Context(), 1, q)
			if err != nil {
				x.Fatal(err)
			}
			if !slices.Equal(idsOf(got), idsOf(want)) || got.Total != want.Total || len(got.Found) == 0 {
				x.Errorf("%+v: found %v, want %v", q, idsOf(got), idsOf(want))
			}
			for i, f := range got.Found {
				if w := want.Found[i]; f.Score-w.Score > 1e-5 || w.Score-f.Score > 1e-5 || f.LexicalRank != w.LexicalRank || f.VectorRank != w.VectorRank {
					x.Errorf("%+v, want %+v", f.Hit, w.Hit)
				}
			}
		}
	})
}

// inMemory feeds indexes with vectors, wherever the project is searched.
type inMemory struct{ *bench }

func (m inMemory) Changes(ctx context.Context, p tenant.Project, since index.State, put func(index.Passage) error, gone func(int64)) (index.State, error) {
	now, err := m.s.Changes(ctx, p, since, func(q index.Passage) error {
		q.Vector = m.vectors[q.ID]
		return put(q)
	}, gone)
	now.Backend = ""
	return now, err
}

func (m inMemory) Settings(ctx context.Context, p tenant.Project) (index.Settings, error) {
	return m.s.Settings(ctx, p)
}

func TestConformanceManyAreFoundNearlyExactlyAndFiltersStarveNone(t *testing.T) {
	t.Parallel()
	everyBackend(t, func(x *bench) {
		var documents []document.Document
		of := map[int64]int{} // document number by chunk
		for i := range 250 {
			before := len(x.vectors)
			documents = append(documents, x.add(i, 10))
			for id := range x.vectors {
				if _, known := of[id]; !known {
					of[id] = i
				}
			}
			if len(x.vectors) != before+10 {
				x.Fatal("chunks are missing")
			}
		}
		recall := func(what string, f index.Filter, keep func(id int64) bool, least float64) {
			x.Helper()
			const questions, k = 10, 10
			same := 0
			for range questions {
				v := x.vector()
				got, want := idsOf(x.find(v, search.Query{Mode: index.Vector, Limit: k, Filter: f})), x.exact(v, k, keep)
				if len(got) != len(want) {
					x.Errorf("%s: %d found, want %d", what, len(got), len(want))
				}
				for _, id := range got {
					if slices.Contains(want, id) {
						same++
					}
				}
			}
			if share := float64(same) / (questions * k); share < least {
				x.Errorf("%s: recall@10 %.3f", what, share)
			}
		}
		recall("all", index.Filter{}, nil, .98)
		recall("a third", index.Filter{Collection: "c1"}, func(id int64) bool { return of[id]%3 == 1 }, .98)
		recall("a hundredth", index.Filter{Category: "k7"}, func(id int64) bool { return of[id]%100 == 7 }, .98)
		for i := 0; i < len(documents); i += 2 {
			x.delete(documents[i])
			for id, n := range of {
				if n == i {
					delete(x.vectors, id)
				}
			}
		}
		recall("half, when the others are gone", index.Filter{}, nil, .98)
	})
}

func TestConformanceWhatIsDeletedIsGoneInTheNextAnswer(t *testing.T) {
	t.Parallel()
	everyBackend(t, func(x *bench) {
		there := map[int]document.Document{}
		for i := range 60 {
			if n := x.r.IntN(20); len(there) > 0 && x.r.IntN(3) == 0 {
				if d, ok := there[n]; ok {
					x.delete(d)
					delete(there, n)
				}
			} else {
				d := x.add(n, 2)
				there[n] = d
			}
			found := map[int64]bool{}
			for _, f := range x.find(x.vector(), search.Query{Mode: index.Vector, Limit: 50, Group: true}).Found {
				found[f.Passage.Document] = true
			}
			if len(found) != len(there) {
				x.Fatalf("step %d: %d documents found, want %d", i, len(found), len(there))
			}
			for _, d := range there {
				if !found[d.ID] {
					x.Fatalf("step %d: document %d is not found", i, d.ID)
				}
			}
		}
	})
}
