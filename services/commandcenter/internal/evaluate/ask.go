package evaluate

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/commandcenter/commandcenter/pkg/ireval"
	"github.com/commandcenter/commandcenter/pkg/ireval/trial"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/client"
)

// Depth is how many passages are asked for: the most that a search answers.
const Depth = 200

// Searcher asks one question.
type Searcher func(ctx context.Context, text string, s trial.Setting) ([]trial.Passage, error)

// MissingLegError says that the server could not search as it was told.
type MissingLegError struct{ Asked, Used, Why string }

// Error names what is missing.
func (e *MissingLegError) Error() string {
	return fmt.Sprintf("the server searched by %s where %s was asked for: %s", e.Used, e.Asked, e.Why)
}

// Over searches the project of a session, or a collection of it.
func Over(s *client.Session, collection string) Searcher {
	return func(ctx context.Context, text string, set trial.Setting) ([]trial.Passage, error) {
		mode := client.QueryKnowledgeBaseParamsMode(set.Mode)
		anew := false // what is measured is the search
		params := &client.QueryKnowledgeBaseParams{Mode: &mode, Alpha: set.Alpha, Cache: &anew}
		if set.Fusion != "" {
			f := client.QueryKnowledgeBaseParamsFusion(set.Fusion)
			params.Fusion = &f
		}
		if collection != "" {
			params.Collection = &collection
		}
		most := Depth
		resp, err := s.QueryKnowledgeBase(ctx, params, client.KnowledgeSearchRequest{Query: text, Limit: &most})
		var header http.Header
		if resp != nil {
			header = resp.Header
		}
		found, err := client.Into[[]client.KnowledgeSearchResult](resp, err)
		if err != nil {
			return nil, err
		}
		if used := header.Get("CC-Search-Mode"); used != "" && used != set.Mode {
			return nil, &MissingLegError{set.Mode, used, header.Get("CC-Search-Degraded")}
		}
		out := make([]trial.Passage, len(found))
		for i, r := range found {
			if r.SourceFile != nil {
				out[i].Source = *r.SourceFile
			}
			out[i].Content = r.Content
			path, _ := r.Metadata["heading_path"].([]any)
			for _, h := range path {
				out[i].Path = append(out[i].Path, fmt.Sprint(h))
			}
		}
		return out, nil
	}
}

// Asking is a set of questions, and how to name what is found.
type Asking struct {
	Questions []trial.Question
	Search    Searcher
	Naming    trial.Naming
	// Name names the passages of a ranking; nil goes by Naming.
	Name     func(found []trial.Passage) []string
	Parallel int // questions at a time; below 1 means 2
}

// Run asks the questions of a half and returns the rankings. done is called after
// each; the first failure ends it.
func (a Asking) Run(ctx context.Context, s trial.Setting, half ireval.Half, done func()) (ireval.Run, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		mu  sync.Mutex
		run = ireval.Run{}
		wg  sync.WaitGroup
	)
	next := make(chan trial.Question)
	for range max(a.Parallel, 2) {
		wg.Go(func() {
			for q := range next {
				found, err := a.Search(ctx, q.Text, s)
				if err != nil {
					cancel(fmt.Errorf("question %s: %w", q.ID, err))
					return
				}
				names := a.Naming.Names(q, found)
				if a.Name != nil {
					names = a.Name(found)
				}
				scores := ireval.Listed(names)
				mu.Lock()
				run[q.ID] = scores
				mu.Unlock()
				done()
			}
		})
	}
	for _, q := range a.Questions {
		if !half.Has(q.ID) {
			continue
		}
		select {
		case next <- q:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return run, nil
}

// FromBEIR are the questions of a collection; answers are named by the
// documents, which have been uploaded as [FileName] says.
func FromBEIR(c *ireval.Collection, search Searcher) Asking {
	ids := make(map[string]string, len(c.Documents))
	for i, d := range c.Documents {
		ids[FileName(i)] = d.ID
	}
	a := Asking{Search: search, Name: func(found []trial.Passage) (out []string) {
		for _, p := range found {
			if id, ok := ids[p.Source]; ok {
				out = append(out, id)
			}
		}
		return out
	}}
	for _, q := range c.Queries {
		a.Questions = append(a.Questions, trial.Question{ID: q.ID, Text: q.Text})
	}
	return a
}

// FileName is the source name of the document at i of a collection. Ids would not
// do: they may hold anything.
func FileName(i int) string { return fmt.Sprintf("%d.txt", i+1) }

// Text is what is uploaded of a document, without a title that its text begins
// with.
func Text(d ireval.Document) string {
	if t := strings.TrimSpace(d.Text); t != "" {
		return t
	}
	return strings.TrimSpace(d.Title)
}

// Tune finds the weight of the vector leg with the best nDCG@10 on the half that
// is there for it.
func (a Asking) Tune(ctx context.Context, q ireval.Qrels, s trial.Setting, done func()) (alpha float64, err error) {
	best := -1.0
	for i := range trial.Steps {
		w := trial.Weight(i)
		s.Alpha = &w
		run, err := a.Run(ctx, s, ireval.Tuning, done)
		if err != nil {
			return 0, fmt.Errorf("weight %.2f: %w", w, err)
		}
		v := ireval.Evaluate(q, run, ireval.Tuning.Has, ireval.Measures(trial.Decisive)...).Mean(trial.Decisive)
		if trial.Better(w, v, alpha, best) {
			best, alpha = v, w
		}
	}
	return alpha, nil
}
