package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	knowledgev1 "github.com/commandcenter/commandcenter/proto-events/knowledge/v1"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/search"
)

// within is a collection, or that of a repository, or what is of the repository
// in the collection, or all of the project.
type within struct {
	RepositoryID *int64  `json:"repository_id"`
	Collection   *string `json:"collection"`
}

func (w within) collection() string {
	switch {
	case w.Collection != nil && *w.Collection != "":
		return *w.Collection
	case w.RepositoryID != nil:
		return document.CollectionOf(*w.RepositoryID)
	}
	return ""
}

// repository is the one that documents have to be of, beside being in the
// collection; 0 when the collection says it all.
func (w within) repository() int64 {
	if w.RepositoryID == nil || w.collection() == document.CollectionOf(*w.RepositoryID) {
		return 0
	}
	return *w.RepositoryID
}

type queryKnowledgeBase struct {
	how
	Offset  *int                   `json:"offset"`
	Explain *bool                  `json:"explain"`
	Cache   *bool                  `json:"cache"`
	Body    KnowledgeSearchRequest `json:"body"`
}

// how is how passages are found.
type how struct {
	within
	Mode       *string  `json:"mode"`
	Alpha      *float64 `json:"alpha"`
	Fusion     *string  `json:"fusion"`
	Group      *string  `json:"group"`
	Diversity  *float64 `json:"diversity"`
	Neighbours *int     `json:"neighbours"`
	Rerank     *string  `json:"rerank"`
	Candidates *int     `json:"candidates"`
}

// query is the search of so many passages, of a category and a technology where
// those are said.
func (r how) query(limit *int, category *string, technology *int64) search.Query {
	return search.Query{
		Mode: index.Mode(value(r.Mode)), Alpha: r.Alpha, Method: fusion.Method(value(r.Fusion)), Limit: value(limit),
		Filter: index.Filter{Collection: r.collection(), Repository: r.repository(), Category: value(category), Technology: value(technology)},
		Group:  value(r.Group) == "document", Diversity: value(r.Diversity), Neighbours: value(r.Neighbours),
		Rerank: rerank(r.Rerank, r.Candidates),
	}
}

// rerank reads "true", "false" or the name of a model.
func rerank(said *string, candidates *int) search.Rerank {
	r := search.Rerank{Candidates: value(candidates)}
	on := value(said) != "false"
	switch value(said) {
	case "":
		return r
	case "true", "false":
	default:
		r.Model = *said
	}
	r.On = &on
	return r
}

func (h *Handlers) query(ctx context.Context, r queryKnowledgeBase) (results, error) {
	q := r.how.query(r.Body.Limit, r.Body.Category, r.Body.TechnologyId)
	q.Text, q.Offset, q.Explain = r.Body.Query, value(r.Offset), value(r.Explain)
	q.Fresh = r.Cache != nil && !*r.Cache
	a, err := h.Search.Search(ctx, tenant.From(ctx).Project, q)
	if err != nil {
		return results{}, err
	}
	return results{a}, nil
}

// results is an answer as the contract's array.
type results struct{ a search.Answer }

// Headers say how the answer was made: the legs that were used, why not those
// that were asked for, and the generation of the index.
func (r results) Headers() map[string]string {
	h := map[string]string{
		"CC-Search-Mode":      string(r.a.Mode),
		"CC-Index-Generation": strconv.FormatInt(r.a.Generation, 10),
		"CC-Search-Query":     percent(r.a.Understood),
	}
	if codes := codes(r.a.Languages); len(codes) > 0 && r.a.Mode != index.Vector {
		h["CC-Search-Languages"] = strings.Join(codes, ",")
	}
	if r.a.Total >= 0 {
		h["CC-Search-Total"] = strconv.Itoa(r.a.Total)
	}
	if r.a.Reason != "" {
		h["CC-Search-Degraded"] = headerText(r.a.Reason)
	}
	if r.a.Cached {
		h["CC-Search-Cached"] = "true"
	}
	if r.a.RankedBy != "" {
		h["CC-Search-Reranked"] = headerText(r.a.RankedBy)
	}
	if r.a.Unranked != "" {
		h["CC-Search-Not-Reranked"] = headerText(r.a.Unranked)
	}
	return h
}

func codes(languages []terms.Language) []string {
	out := make([]string, len(languages))
	for i, l := range languages {
		out[i] = l.String()
	}
	return out
}

// headerText keeps what a header may hold.
func headerText(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b[:min(len(b), 300)])
}

// percent encodes what a header may not hold, and cuts what is long.
func percent(s string) string {
	if rs := []rune(s); len(rs) > 300 {
		s = string(rs[:300]) + "…"
	}
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// explanation is the account of a score.
type explanation struct {
	Terms   []termShare `json:"terms,omitempty"`
	Lexical float64     `json:"lexical"` // in 0 to 1, as it is joined
	Cosine  float64     `json:"cosine"`
	Weight  float64     `json:"vector_weight"`
}

type termShare struct {
	Term   string  `json:"term"`
	Weight float64 `json:"idf"`
	Body   int     `json:"in_body"`
	Title  int     `json:"in_title"`
	Score  float64 `json:"score"`
}

func explained(e *index.Explanation) explanation {
	out := explanation{Lexical: e.Lexical01, Cosine: e.Cosine01, Weight: e.Weight}
	for _, s := range e.Terms {
		out.Terms = append(out.Terms, termShare(s))
	}
	return out
}

// reranked is the account of a passage that was ranked anew.
type reranked struct {
	Model     string  `json:"model"`
	Score     float64 `json:"score"`
	First     float64 `json:"first_score"`
	FirstRank int     `json:"first_rank"`
}

// leg is one leg's share of a score. Rank is null when the leg did not list
// the passage among its candidates.
type leg struct {
	Score *float64 `json:"score"`
	Rank  *int     `json:"rank"`
}

// MarshalJSON writes the array.
func (r results) MarshalJSON() ([]byte, error) {
	out := make([]KnowledgeSearchResult, len(r.a.Found))
	for i, f := range r.a.Found {
		meta := map[string]any{
			"document_id": f.Passage.Document, "document_version": f.Version, "chunk_id": f.Passage.ID, "chunk_index": f.Ordinal, "chunk_count": f.Chunks,
			"heading_path": orEmpty(f.Path), "kind": f.Kind, "collection": f.Collection, "repository_id": orNil(f.Repository),
			"language": orNil(f.Language), "text_language": f.TextLanguage.String(), "symbol": orNil(f.Symbol), "line": orNil(f.Line), "page": orNil(f.Page),
			"mode": r.a.Mode, "index_generation": r.a.Generation,
		}
		if r.a.Reason != "" {
			meta["degraded"] = r.a.Reason
		}
		if r.a.Mode != index.Vector {
			meta["lexical"] = leg{Score: &f.Lexical, Rank: orNil(f.LexicalRank)}
		}
		if r.a.Mode != index.Keyword {
			l := leg{Rank: orNil(f.VectorRank)}
			if f.HasVector {
				l.Score = &f.Cosine
			}
			meta["vector"] = l
		}
		if r.a.Mode == index.Hybrid {
			meta["alpha"], meta["fusion"], meta["fused_score"] = r.a.Alpha, r.a.Method, f.Score
		}
		if !r.a.Plain {
			meta["query"] = r.a.Understood
		}
		if f.Account != nil {
			meta["explanation"] = explained(f.Account)
		}
		score := f.Score
		if f.Reranked != nil {
			score = f.Reranked.Score
			meta["rerank"] = reranked{r.a.RankedBy, score, f.Reranked.First, f.Reranked.FirstRank}
		}
		source := f.Source
		out[i] = KnowledgeSearchResult{
			Content: f.Text, Title: f.Title, Category: f.Category, TechnologyId: orNil(f.Technology), SourceFile: &source, Score: score, Metadata: meta,
			Highlights: orAbsent(highlights(f.Highlights)), Before: orAbsent(f.Before), After: orAbsent(f.After), Others: orNil(f.Others),
		}
	}
	return json.Marshal(out)
}

func highlights(spans []terms.Span) []KnowledgeHighlight {
	out := make([]KnowledgeHighlight, len(spans))
	for i, s := range spans {
		out[i] = KnowledgeHighlight{Start: s.Start, End: s.End}
	}
	return out
}

func orAbsent[T any](s []T) *[]T {
	if len(s) == 0 {
		return nil
	}
	return &s
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// everything stands for the whole project, where the contract wants the name of
// a collection.
const everything = "*"

// named is the collection that the statistics are of, or everything.
func (w within) named() string {
	if c := w.collection(); c != "" {
		return c
	}
	return everything
}

func (h *Handlers) statistics(ctx context.Context, r within) (KnowledgeStatistics, error) {
	st, err := h.Census.Statistics(ctx, tenant.From(ctx).Project, r.collection(), r.repository())
	if err != nil {
		return KnowledgeStatistics{}, err
	}
	name, dim := h.Models.Loaded(st.Model)
	if name == "" {
		name = "none: search is by words"
	}
	out := KnowledgeStatistics{RepositoryId: r.RepositoryID, Collection: r.named(), EmbeddingModel: name}
	out.Database.TotalEntries, out.Database.Categories = st.TotalDocuments, st.Documents
	out.VectorDb.TotalChunks, out.VectorDb.Categories, out.VectorDb.EmbeddedChunks = st.TotalChunks, st.Chunks, st.Embedded
	out.VectorDb.EmbeddingModel, out.VectorDb.EmbeddingDimension = name, dim
	if st.Next != "" {
		out.VectorDb.NextEmbeddingModel, out.VectorDb.NextEmbeddedChunks = &st.Next, &st.NextEmbedded
	}
	out.VectorDb.Backend, out.VectorDb.CollectionName = "postgres", out.Collection
	return out, nil
}

func (h *Handlers) collections(ctx context.Context, _ struct{}) ([]string, error) {
	names, err := h.Census.Collections(ctx, tenant.From(ctx).Project)
	return orEmpty(names), err
}

func (h *Handlers) categories(ctx context.Context, r within) ([]string, error) {
	names, err := h.Census.Categories(ctx, tenant.From(ctx).Project, r.collection(), r.repository())
	return orEmpty(names), err
}

func (h *Handlers) count(ctx context.Context, r *knowledgev1.CountDocumentsRequest) (*knowledgev1.CountDocumentsResponse, error) {
	documents, chunks, err := h.Census.Count(ctx, tenant.Project(r.GetProjectId()))
	if err != nil {
		return nil, err
	}
	return &knowledgev1.CountDocumentsResponse{Documents: int32(documents), Chunks: int32(chunks)}, nil //nolint:gosec // G115: rows of one project
}

func (h *Handlers) searchProject(ctx context.Context, r *knowledgev1.SearchProjectRequest) (*knowledgev1.SearchProjectResponse, error) {
	var asIs bool // others wait for us with a deadline of their own
	a, err := h.Search.Search(ctx, tenant.Project(r.GetProjectId()), search.Query{
		Text: r.GetQuery(), Limit: int(r.GetLimit()), Filter: index.Filter{Category: r.GetCategory()}, Rerank: search.Rerank{On: &asIs},
	})
	if err != nil {
		return nil, err
	}
	out := &knowledgev1.SearchProjectResponse{}
	for _, f := range a.Found {
		out.Passages = append(out.Passages, &knowledgev1.Passage{
			Title: f.Title, Content: f.Text, Category: f.Category, SourceFile: f.Source, HeadingPath: f.Path, Score: f.Score,
		})
	}
	return out, nil
}
