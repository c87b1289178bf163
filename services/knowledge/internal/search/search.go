package search

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/query"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
)

// Passage is a chunk with what its document says, as it is committed.
type Passage struct {
	ID         int64
	Ordinal    int
	Path       []string
	Symbol     string
	Kind       string
	Language   string
	Line       int
	Page       int // or slide; 0: none
	Text       string
	Document   int64
	Title      string
	Category   string
	Collection string
	Source     string
	Repository int64 // 0: none
	Technology int64 // 0: none
	Version    int
	Chunks     int // of the document
}

// TitleField is what the index takes as the title of a passage.
func TitleField(title string, path []string, symbol string) string {
	parts := append([]string{title}, path...)
	if symbol != "" {
		parts = append(parts, symbol)
	}
	return strings.Join(parts, " \n")
}

// Statistics are counts of a collection or project.
type Statistics struct {
	TotalDocuments int
	TotalChunks    int
	Model          string         // whose vectors are searched; "" while there is none
	Embedded       int            // chunks with a vector of it
	Next           string         // whose vectors are being made, to be searched when all chunks have them; "" mostly
	NextEmbedded   int            // chunks with a vector of that
	Documents      map[string]int // by category
	Chunks         map[string]int // by category
}

// Shelf reads passages by id. Ids that are gone are missing from the answer;
// generation is the project's at that moment.
type Shelf interface {
	Passages(ctx context.Context, p tenant.Project, ids []int64) (found map[int64]Passage, generation int64, err error)
	// Generation is the project's at this moment.
	Generation(ctx context.Context, p tenant.Project) (int64, error)
	// Around reads up to n passages on either side of each.
	Around(ctx context.Context, p tenant.Project, ids []int64, n int) (map[int64]Around, error)
	// Leg asks where the vectors are that an index of so many passages does not have.
	Leg(ctx context.Context, p tenant.Project, of index.State, passages int, question []float32) *index.Leg
}

// Around is the texts of the passages before and after one, in order.
type Around struct{ Before, After []string }

// Indexes gives a project's index, at generation want or later.
type Indexes interface {
	At(ctx context.Context, p tenant.Project, want int64) (*index.Index, error)
}

// Encoder makes the vector of a question.
type Encoder interface {
	EmbedQuery(ctx context.Context, text string) ([]float32, error)
}

// Encoders gives the encoder whose vectors have a name ("": that of the instance),
// or the reason why there is none.
type Encoders interface {
	Encoder(ctx context.Context, model string) (e Encoder, missing string)
}

// Query is a question.
type Query struct {
	Text   string
	Mode   index.Mode
	Alpha  *float64 // weight of the vector leg; nil: the default
	Method fusion.Method
	Limit  int
	Filter index.Filter

	Offset     int
	Group      bool    // one passage of each document
	Diversity  float64 // 0 to 1
	Neighbours int     // passages to read on either side
	Explain    bool
	Rerank     Rerank
	Fresh      bool // do not give what is kept of an earlier answer, and keep nothing
}

// Found is one passage of an answer with the account of its score.
type Found struct {
	Passage
	index.Hit
	Around
	Highlights []terms.Span // in Text
	Reranked   *Reranked    // nil when it was not
}

// Answer is what was found, best first.
type Answer struct {
	Found      []Found
	Mode       index.Mode // as used
	Reason     string     // why it is not the mode that was asked for; "" when it is
	Alpha      float64
	Method     fusion.Method
	Generation int64
	Vector     []float32        // of the question; nil when vectors were not asked for
	Model      string           // whose vectors were searched; "" when there are none
	Total      int              // passages that match by words; -1 when words were not searched for
	Languages  []terms.Language // that the words of the query were read in
	Understood string           // the query in canonical marks
	Plain      bool             // the query is a sentence
	RankedBy   string           // the model that ranked anew; "" when none did
	Unranked   string           // why none did, though it was asked for
	Cached     bool             // it was kept from before, and nothing has changed since
}

// Defaults of a query.
const (
	DefaultLimit = 5
	MaxLimit     = 200  // recall at 100 documents takes more than 100 passages
	MaxText      = 4096 // characters

	MaxOffset     = 1000
	MaxNeighbours = 3
	MaxHighlights = 100 // of a passage
)

// Config is the ranking. The zero value of a field takes its default.
type Config struct {
	Alpha  float64       // weight of the vector leg; 0.5
	Method fusion.Method // fusion.Convex

	Rerank     bool // where a query does not say
	Candidates int  // that are ranked anew; 20

	Cache int64 // bytes of answers that are kept; 0 keeps none

	Log *slog.Logger // slog.Default() when nil
}

// Engine answers queries.
type Engine struct {
	indexes  Indexes
	shelf    Shelf
	encoders Encoders
	rankers  Rankers
	words    terms.Analyzer // of highlights
	answers  *answers       // nil when none are kept
	c        Config
}

// NewEngine returns an engine.
func NewEngine(i Indexes, s Shelf, e Encoders, r Rankers, c Config) *Engine {
	if c.Alpha <= 0 || c.Alpha > 1 {
		c.Alpha = 0.5
	}
	if c.Method == "" {
		c.Method = fusion.Convex
	}
	if c.Candidates <= 0 {
		c.Candidates = 20
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Engine{indexes: i, shelf: s, encoders: e, rankers: r, c: c, answers: newAnswers(c.Cache)}
}

func (e *Engine) check(q *Query) error {
	q.Text = strings.TrimSpace(q.Text)
	switch {
	case q.Text == "":
		return errs.InvalidField("string_too_short", "query must not be empty", "body", "query")
	case len([]rune(q.Text)) > MaxText:
		return errs.InvalidField("string_too_long", fmt.Sprintf("query has more than %d characters", MaxText), "body", "query")
	case q.Limit < 0 || q.Limit > MaxLimit:
		return errs.InvalidField("out_of_range", fmt.Sprintf("limit must be from 1 to %d", MaxLimit), "body", "limit")
	case q.Alpha != nil && !(*q.Alpha >= 0 && *q.Alpha <= 1):
		return errs.InvalidField("out_of_range", "alpha must be from 0 to 1", "query", "alpha")
	}
	switch {
	case q.Offset < 0 || q.Offset > MaxOffset:
		return errs.InvalidField("out_of_range", fmt.Sprintf("offset must be from 0 to %d", MaxOffset), "query", "offset")
	case !(q.Diversity >= 0 && q.Diversity <= 1):
		return errs.InvalidField("out_of_range", "diversity must be from 0 to 1", "query", "diversity")
	case q.Neighbours < 0 || q.Neighbours > MaxNeighbours:
		return errs.InvalidField("out_of_range", fmt.Sprintf("neighbours must be from 0 to %d", MaxNeighbours), "query", "neighbours")
	}
	switch q.Mode {
	case "", index.Hybrid, index.Vector, index.Keyword:
	default:
		return errs.InvalidField("enum", "mode must be hybrid, vector or keyword", "query", "mode")
	}
	switch q.Method {
	case "", fusion.Convex, fusion.RRF:
	default:
		return errs.InvalidField("enum", "fusion must be convex or rrf", "query", "fusion")
	}
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	return e.checkRerank(q)
}

// decide fills in what a query does not say by the settings of the project, and
// what those do not say by those of the instance.
func (e *Engine) decide(q Query, s index.Settings) (m index.Mode, by fusion.Method, alpha float64) {
	alpha = e.c.Alpha
	if s.Weighted {
		alpha = s.Alpha
	}
	if q.Alpha != nil {
		alpha = *q.Alpha
	}
	return cmp.Or(q.Mode, s.Mode, index.Hybrid), cmp.Or(q.Method, s.Method, e.c.Method), alpha
}

// Defaults are how a project is searched when neither a question nor the project
// says anything.
func (e *Engine) Defaults() (index.Mode, fusion.Method, float64) {
	return e.decide(Query{}, index.Settings{})
}

// attempts is how often an index that turns out to be old is asked again.
// Under a stream of writes it is always a little old; the last answer then
// stands, without what has gone.
const attempts = 3

// Search answers q for project p. What an answer points to is not the caller's: others
// may be given the same.
func (e *Engine) Search(ctx context.Context, p tenant.Project, q Query) (Answer, error) {
	if err := e.check(&q); err != nil {
		return Answer{}, err
	}
	if e.answers == nil || q.Fresh {
		return e.search(ctx, p, q)
	}
	return e.cached(ctx, p, q)
}

// search answers a query that was checked.
func (e *Engine) search(ctx context.Context, p tenant.Project, q Query) (Answer, error) {
	understood := query.Parse(q.Text)
	a := Answer{Understood: understood.String(), Plain: understood.Plain}
	r := index.Request{
		Text: q.Text, Limit: q.Limit, Filter: q.Filter,
		Offset: q.Offset, Group: q.Group, Diversity: q.Diversity, Explain: q.Explain,
	}
	if *q.Rerank.On {
		r.Offset, r.Limit = 0, q.Rerank.Candidates
	}
	want, of, asked := int64(0), "", index.Mode("")
	for try := 1; ; try++ {
		x, err := e.indexes.At(ctx, p, want)
		if err != nil {
			return Answer{}, err
		}
		state := x.State()
		mode, method, alpha := e.decide(q, state.Settings)
		a.Method, a.Alpha, r.Method, r.Alpha = method, alpha, method, alpha
		// The vector of a question is compared with those of the same model alone.
		if r.Vector == nil || state.Model != of || mode != asked {
			if r.Vector, err = e.vector(ctx, mode, understood.Topic(), x, &a); err != nil {
				return Answer{}, err
			}
			r.Mode, of, asked = a.Mode, state.Model, mode
		}
		if r.Leg = nil; r.Vector != nil && x.State().Backend.Elsewhere() {
			passages, _ := x.Len()
			r.Leg = e.shelf.Leg(ctx, p, x.State(), passages, r.Vector)
		}
		res, err := x.Search(r)
		if err != nil && r.Leg != nil && ctx.Err() == nil {
			e.c.Log.WarnContext(ctx, "search.vectors", "project", p.Token(), "backend", x.State().Backend, "err", err)
			a.Mode, a.Reason = index.Keyword, "the database could not be asked for vectors"
			r.Mode, r.Vector, r.Leg = a.Mode, nil, nil
			res, err = x.Search(r)
		}
		if err != nil {
			return Answer{}, fmt.Errorf("search project %d: %w", p, err)
		}
		ids := make([]int64, len(res.Hits))
		for i, h := range res.Hits {
			ids[i] = h.ID
		}
		found, generation, err := e.shelf.Passages(ctx, p, ids)
		if err != nil {
			return Answer{}, err
		}
		if generation > res.Generation && try < attempts {
			want = generation
			continue
		}
		a.Generation, a.Model, a.Total, a.Languages, a.Vector = res.Generation, state.Model, res.Total, res.Languages, r.Vector
		for _, h := range res.Hits {
			if s, ok := found[h.ID]; ok && passes(s, q.Filter) {
				a.Found = append(a.Found, Found{Passage: s, Hit: h})
			}
		}
		if *q.Rerank.On {
			if err := e.rank(ctx, q, understood.Topic(), &a); err != nil {
				return Answer{}, err
			}
			a.Found = a.Found[min(q.Offset, len(a.Found)):min(q.Offset+q.Limit, len(a.Found))]
		}
		e.mark(a.Found, res.Terms)
		return a, e.surround(ctx, p, q.Neighbours, a.Found)
	}
}

// mark finds the words of a query in what was found.
func (e *Engine) mark(found []Found, words []string) {
	wanted := make(map[string]bool, len(words))
	for _, t := range words {
		wanted[t] = true
	}
	for i := range found {
		found[i].Highlights = e.words.In(found[i].TextLanguage).Spans(found[i].Text, func(t string) bool { return wanted[t] }, MaxHighlights)
	}
}

// surround reads what stands around the passages found.
func (e *Engine) surround(ctx context.Context, p tenant.Project, n int, found []Found) error {
	if n == 0 || len(found) == 0 {
		return nil
	}
	ids := make([]int64, len(found))
	for i, f := range found {
		ids[i] = f.Passage.ID
	}
	around, err := e.shelf.Around(ctx, p, ids, n)
	for i := range found {
		found[i].Around = around[found[i].Passage.ID]
	}
	return err
}

// passes repeats the filter on what is committed: a document may have moved to
// another category since it was ranked.
func passes(s Passage, f index.Filter) bool {
	return (f.Collection == "" || s.Collection == f.Collection) && (f.Category == "" || s.Category == f.Category) &&
		(f.Technology == 0 || s.Technology == f.Technology) && (f.Repository == 0 || s.Repository == f.Repository)
}

// NoTopic is the reason why a query that has conditions alone is answered by words.
const NoTopic = "the query has conditions and no topic"

// vector encodes a topic as the passages of an index were, and notes in a when
// the answer is by words alone because it cannot be encoded. An index that has seen
// nothing yet finds nothing either way.
func (e *Engine) vector(ctx context.Context, m index.Mode, topic string, x *index.Index, a *Answer) ([]float32, error) {
	a.Mode, a.Reason = m, ""
	switch {
	case m == index.Keyword:
		return nil, nil
	case strings.TrimSpace(topic) == "":
		a.Mode, a.Reason = index.Keyword, NoTopic
		return nil, nil
	}
	enc, missing := e.encoders.Encoder(ctx, x.Model())
	if enc == nil {
		a.Mode, a.Reason = index.Keyword, missing
		return nil, nil
	}
	if x.Generation() == 0 {
		return nil, nil
	}
	v, err := enc.EmbedQuery(ctx, topic)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		a.Mode, a.Reason = index.Keyword, "the question could not be embedded"
		return nil, nil
	}
	return v, nil
}
