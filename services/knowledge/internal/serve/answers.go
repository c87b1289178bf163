package serve

import (
	"context"
	"time"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/answer"
)

type answerQuestion struct {
	how
	Cache *bool             `json:"cache"`
	Body  KnowledgeQuestion `json:"body"`
}

// told is an event of an answer that is being written. The last one, answer, has
// all of it.
type told struct {
	Event string `json:"event"`
	Data  any    `json:"data"`
}

// token is a piece of the text.
type token struct {
	Text string `json:"text"`
}

func (h *Handlers) answer(ctx context.Context, r answerQuestion, send func(told) error) error {
	q := answer.Question{Text: r.Body.Question, Search: r.how.query(r.Body.Limit, r.Body.Category, r.Body.TechnologyId)}
	q.Search.Fresh = r.Cache != nil && !*r.Cache
	a, err := h.Answers.Answer(ctx, tenant.From(ctx).Project, q, answer.Listener{
		Sources: func(s []answer.Source) error { return send(told{"sources", sources(s)}) },
		Text:    func(text string) error { return send(told{"token", token{text}}) },
	})
	if err != nil {
		return err
	}
	return send(told{"answer", worded(a)})
}

func worded(a answer.Answer) KnowledgeAnswer {
	out := KnowledgeAnswer{
		Question: a.Question, Answer: a.Text, Outcome: KnowledgeAnswerOutcome(a.Outcome), Truncated: a.Cut, Model: orNil(a.Model), WrittenFor: orNil(a.Cached),
		Citations: make([]KnowledgeCitation, len(a.Citations)), Invented: a.Invented, Sources: sources(a.Sources),
		Retrieval: KnowledgeRetrieval{
			Mode: KnowledgeRetrievalMode(a.Found.Mode), Degraded: orNil(a.Found.Reason), RerankedBy: orNil(a.Found.RankedBy), NotReranked: orNil(a.Found.Unranked),
			IndexGeneration: a.Found.Generation,
		},
		Timings: KnowledgeAnswerTimings{RetrievalMs: millis(a.Searching), FirstTokenMs: millis(a.First), TotalMs: millis(a.Total)},
	}
	if out.Invented == nil {
		out.Invented = []int{}
	}
	if a.Usage != nil {
		out.Usage = &KnowledgeAnswerUsage{PromptTokens: a.Usage.Prompt, CompletionTokens: a.Usage.Completion}
	}
	for i, c := range a.Citations {
		out.Citations[i] = KnowledgeCitation{
			Number: c.Number, DocumentId: c.Passage.Document, ChunkId: c.Passage.ID, ChunkIndex: c.Ordinal,
			Title: c.Title, HeadingPath: orEmpty(c.Path), Page: orNil(c.Page), SourceFile: c.Passage.Source,
		}
		if c.Quote != "" {
			out.Citations[i].Quote, out.Citations[i].Verified = &c.Quote, &c.Stand
		}
	}
	return out
}

func sources(all []answer.Source) []KnowledgeSource {
	out := make([]KnowledgeSource, len(all))
	for i, s := range all {
		score := s.Score
		if s.Reranked != nil {
			score = s.Reranked.Score
		}
		out[i] = KnowledgeSource{
			Number: s.Number, DocumentId: s.Passage.Document, ChunkId: s.Passage.ID, ChunkIndex: s.Ordinal, Title: s.Title, HeadingPath: orEmpty(s.Path), Page: orNil(s.Page),
			SourceFile: s.Passage.Source, Category: s.Category, Collection: s.Collection, Content: s.Text, Score: score,
			Before: orAbsent(s.Before), After: orAbsent(s.After),
		}
	}
	return out
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
