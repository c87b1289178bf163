package answer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/search"
)

// Bounds of a question.
const (
	MaxQuestion = 2000 // characters
	MaxPassages = 20
)

// maxText bounds an answer, in bytes, where a service does not mind how many tokens
// it is told.
const maxText = 128 << 10

// Searcher finds passages.
type Searcher interface {
	Search(ctx context.Context, p tenant.Project, q search.Query) (search.Answer, error)
}

// Model is a language model.
type Model interface {
	// Name is what the model is called.
	Name() string
	// Complete has it write. said is given each piece as it comes; its error ends the
	// call. A model that breaks off before it is done has failed.
	Complete(ctx context.Context, p Prompt, said func(text string) error) (Completion, error)
}

// Prompt is what a model is told.
type Prompt struct {
	System, User string
	Tokens       int // that it may write
}

// Completion is how a model ended.
type Completion struct {
	Model string // as the service calls it; "" where it does not say
	Usage *Usage // nil where the service does not say
	Cut   bool   // it had more to say than it was allowed to
}

// Usage is what an answer took, in tokens of the model.
type Usage struct{ Prompt, Completion int }

// Source is a passage that the model was given, under a number from 1.
type Source struct {
	Number int
	search.Found
}

// text is all of the passage, with what stands around it where that was asked for.
func (s Source) text() string {
	parts := append(append([]string{}, s.Before...), s.Text)
	return strings.Join(append(parts, s.After...), "\n\n")
}

// Citation is a mark of the answer.
type Citation struct {
	Source
	Quote string // the words before the mark that are given as the passage's; "" for none
	Stand bool   // they stand in the passage
}

// Outcome is what became of a question.
type Outcome string

// The outcomes.
const (
	Answered Outcome = "answered"  // with citations, all of passages that there are
	Uncited  Outcome = "uncited"   // the model says something and no passage for it: it may be invented
	NoAnswer Outcome = "no_answer" // the passages do not say
)

// Answer is an answer.
type Answer struct {
	Question  string
	Text      string // with marks like [2]; "" with NoAnswer
	Outcome   Outcome
	Cut       bool // the model had more to say
	Citations []Citation
	Invented  []int // numbers that the model cited and no passage has; their marks are not in Text
	Sources   []Source
	Found     search.Answer // how the passages were found
	Model     string        // "" when none was asked, since there was nothing to ask about
	Usage     *Usage
	Cached    string // the question that the answer was written for when it was kept; "" when it was written now

	Searching, First, Total time.Duration // First is until the first piece of text; 0 without one
}

// Listener hears an answer while it is written; a nil field hears nothing.
type Listener struct {
	Sources func([]Source) error    // once, when the model begins
	Text    func(text string) error // the pieces of the text of the answer, in order
}

// Question is what is asked, and how passages for it are found.
type Question struct {
	Text   string
	Search search.Query // its text is that of the question; Limit 0 is as configured
}

// Config bounds answers. All fields are needed, but for Observe.
type Config struct {
	Passages   int           // that the model is given, where a question does not say
	Context    int           // characters of them at most
	Tokens     int           // of an answer
	Deadline   time.Duration // of an answer
	AtOnce     int           // answers
	PerProject int           // of them
	Memory     int64         // bytes of answers that are kept; 0 keeps none
	Similar    float64       // cosine from which an answer is given to another question about the same passages; 0 gives it to none
	// Observe hears how each question ended, and what it took; nil hears nothing.
	Observe func(a Answer, err error, took time.Duration)
}

// Answerer answers questions. Safe for concurrent use.
type Answerer struct {
	search Searcher
	model  Model
	c      Config
	places *places
	memory *memory // nil when nothing is kept
	nonce  func() string
	now    func() time.Time
}

// New returns an Answerer; without a model, which is nil then, it says what to set.
func New(s Searcher, m Model, c Config) *Answerer {
	if c.Observe == nil {
		c.Observe = func(Answer, error, time.Duration) {}
	}
	return &Answerer{search: s, model: m, c: c, places: newPlaces(c.AtOnce, c.PerProject), memory: newMemory(c.Memory), nonce: nonce, now: time.Now}
}

// ErrNoModel says what to set.
var ErrNoModel = errs.New(errs.Unavailable, "this instance has no language model: knowledge.answer.kind (CC_KNOWLEDGE_ANSWER_KIND) says how one is spoken to, "+
	"knowledge.answer.url and knowledge.answer.model say where and which it is")

// Answer answers q for project p.
func (a *Answerer) Answer(ctx context.Context, p tenant.Project, q Question, l Listener) (Answer, error) {
	began := a.now()
	out, err := a.bounded(ctx, p, q, l)
	out.Total = a.now().Sub(began)
	a.c.Observe(out, err, out.Total)
	return out, err
}

func (a *Answerer) check(q *Question) error {
	q.Text = strings.TrimSpace(q.Text)
	switch {
	case q.Text == "":
		return errs.InvalidField("string_too_short", "question must not be empty", "body", "question")
	case len([]rune(q.Text)) > MaxQuestion:
		return errs.InvalidField("string_too_long", fmt.Sprintf("question has more than %d characters", MaxQuestion), "body", "question")
	case q.Search.Limit < 0 || q.Search.Limit > MaxPassages:
		return errs.InvalidField("out_of_range", fmt.Sprintf("limit must be from 1 to %d", MaxPassages), "body", "limit")
	case a.model == nil:
		return ErrNoModel
	}
	if q.Search.Text = q.Text; q.Search.Limit == 0 {
		q.Search.Limit = a.c.Passages
	}
	return nil
}

func (a *Answerer) bounded(ctx context.Context, p tenant.Project, q Question, l Listener) (Answer, error) {
	if err := a.check(&q); err != nil {
		return Answer{}, err
	}
	leave, err := a.places.enter(p)
	if err != nil {
		return Answer{}, err
	}
	defer leave()
	limited, cancel := context.WithTimeout(ctx, a.c.Deadline)
	defer cancel()
	out, err := a.answer(limited, p, q, l)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return out, errs.Wrap(errs.Timeout, err, "the answer took longer than "+a.c.Deadline.String())
	}
	return out, err
}

func (a *Answerer) answer(ctx context.Context, p tenant.Project, q Question, l Listener) (Answer, error) {
	out, began := Answer{Question: q.Text, Outcome: NoAnswer}, a.now()
	var err error
	if out.Found, err = a.search.Search(ctx, p, q.Search); err != nil {
		return out, err
	}
	out.Searching = a.now().Sub(began)
	out.Sources = numbered(out.Found.Found, a.c.Context)
	if len(out.Sources) == 0 { // there is nothing to ask about
		return out, l.begin(nil)
	}
	g, remembers := a.group(p, out.Sources), a.memory != nil && !q.Search.Fresh
	if remembers {
		if x, ok := a.recall(g, q.Text, out.Found.Vector); ok {
			return out.again(x, l)
		}
	}
	r, begun := newReader(len(out.Sources)), false
	hear := func(text string) error {
		switch {
		case text == "":
			return nil
		case r.text.Len() > maxText:
			return errs.New(errs.Upstream, "the language model says more than it should")
		}
		if out.First == 0 {
			out.First = a.now().Sub(began)
		}
		return l.text(text)
	}
	end, err := a.model.Complete(ctx, prompt(q.Text, out.Sources, a.nonce(), a.c.Tokens), func(text string) error {
		if !begun { // no sooner: a model that is away is no answer
			begun = true
			if err := l.begin(out.Sources); err != nil {
				return err
			}
		}
		return hear(r.write(text))
	})
	out.Model, out.Usage, out.Cut = a.model.Name(), end.Usage, end.Cut
	if end.Model != "" {
		out.Model = end.Model
	}
	if err != nil {
		return out, err
	}
	if err := hear(r.close()); err != nil {
		return out, err
	}
	if err := out.read(r); err != nil {
		return out, err
	}
	if remembers && !out.Cut {
		a.remember(g, out, out.Found.Vector)
	}
	return out, nil
}

// again is an answer that was kept, about the passages that were found now.
func (a Answer) again(x Answer, l Listener) (Answer, error) {
	a.Text, a.Outcome, a.Invented, a.Model, a.Cached = x.Text, x.Outcome, x.Invented, x.Model, x.Question
	a.Citations = slices.Clone(x.Citations)
	for i, c := range a.Citations {
		a.Citations[i].Source = a.Sources[c.Number-1]
	}
	if err := l.begin(a.Sources); err != nil || a.Text == "" {
		return a, err
	}
	return a, l.text(a.Text)
}

// read takes what a reader has read.
func (a *Answer) read(r *reader) error {
	a.Text, a.Invented = r.text.String(), r.invented
	switch {
	case r.none:
		return nil
	case a.Text == "" && a.Cut:
		return errs.New(errs.Upstream, "the language model has used all its tokens before it said anything: knowledge.answer.tokens may be too few for it")
	case a.Text == "":
		return errs.New(errs.Upstream, "the language model said nothing")
	}
	a.Citations = citations(a.Text, r.marks, a.Sources)
	if a.Outcome = Answered; len(a.Citations) == 0 {
		a.Outcome = Uncited
	}
	return nil
}

// numbered are the passages that fit, best first, under their numbers.
func numbered(found []search.Found, most int) []Source {
	var out []Source
	for i, f := range found {
		s := Source{Number: i + 1, Found: f}
		if most -= len([]rune(s.text())); most < 0 && i > 0 {
			break
		}
		out = append(out, s)
	}
	return out
}

func (l Listener) begin(s []Source) error {
	if l.Sources == nil {
		return nil
	}
	return l.Sources(s)
}

func (l Listener) text(s string) error {
	if l.Text == nil {
		return nil
	}
	return l.Text(s)
}
