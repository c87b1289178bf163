package answer

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/search"
)

// remembering asks an Answerer that keeps answers. The model says how often it was
// asked.
func remembering(t *testing.T, found *shelf, similar float64) (ask func(tenant.Project, string, ...bool) Answer) {
	t.Helper()
	c := config
	c.Memory, c.Similar = 1<<20, similar
	model := &speaker{end: Completion{Usage: &Usage{Prompt: 5, Completion: 6}}}
	e := New(found, model, c)
	times := 0
	return func(p tenant.Project, question string, fresh ...bool) Answer {
		t.Helper()
		times++
		model.say = []string{fmt.Sprintf(`Time %d: "one" [1].`, times)}
		said := ""
		var sources []Source
		a, err := e.Answer(t.Context(), p, Question{Text: question, Search: search.Query{Fresh: len(fresh) > 0}}, Listener{
			Sources: func(s []Source) error { sources = s; return nil },
			Text:    func(s string) error { said += s; return nil },
		})
		if err != nil || said != a.Text || len(sources) != len(found.texts) {
			t.Errorf("%+v, %v; heard %q of %d sources", a, err, said, len(sources))
		}
		return a
	}
}

func TestAnAnswerIsGivenAgainWhileItsPassagesAreTheSame(t *testing.T) {
	t.Parallel()
	found := &shelf{texts: []string{"one", "two"}}
	ask := remembering(t, found, 0)
	first, again := ask(1, "why?"), ask(1, " why? ")
	if first.Cached != "" || first.Usage == nil || again.Cached != "why?" || again.Usage != nil || again.Text != first.Text || again.Outcome != Answered || again.Model != "small" {
		t.Errorf("%+v\n%+v", first, again)
	}
	if c := again.Citations; len(c) != 1 || c[0].Passage.ID != 10 || c[0].Quote != "one" || !c[0].Stand {
		t.Errorf("citations %+v", c)
	}
	for name, a := range map[string]Answer{"another question": ask(1, "why not?"), "of another project": ask(2, "why?"), "anew": ask(1, "why?", true)} {
		if a.Cached != "" {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if a := ask(1, "why?"); a.Text != first.Text {
		t.Errorf("one that was written anew took the place of the one that is kept: %+v", a)
	}
	found.texts = []string{"one", "two, as of now"}
	if a := ask(1, "why?"); a.Cached != "" || a.Text == first.Text {
		t.Errorf("when a passage has changed: %+v", a)
	}
	found.texts = nil
	if a := ask(1, "why?"); a.Outcome != NoAnswer || a.Cached != "" {
		t.Errorf("when they are gone: %+v", a)
	}
}

func TestASimilarQuestionIsGivenTheAnswerOfAnotherWhereThatIsWanted(t *testing.T) {
	t.Parallel()
	for similar, want := range map[float64]string{0: "", 0.9: "why?", 0.999: ""} {
		found := &shelf{texts: []string{"one"}, vector: []float32{1, 0}}
		ask := remembering(t, found, similar)
		ask(1, "why?")
		found.vector = []float32{0, 1}
		ask(1, "who?")
		found.vector = []float32{.98, .199}
		if a := ask(1, "why is it?"); a.Cached != want || a.Question != "why is it?" {
			t.Errorf("from %v on: the answer to %q for %q", similar, a.Cached, a.Question)
		}
		found.vector = []float32{1, 0, 0} // of another model
		if a := ask(1, "what is it?"); a.Cached != "" {
			t.Errorf("by another model: the answer to %q", a.Cached)
		}
	}
}

func TestOfOnePassageTheLatestQuestionsAreKept(t *testing.T) {
	t.Parallel()
	ask := remembering(t, &shelf{texts: []string{"one"}}, 0)
	for i := range mostOfGroup + 2 {
		ask(1, fmt.Sprint("why ", i))
	}
	var cached []bool
	for _, i := range []int{mostOfGroup + 1, 2, 1} {
		cached = append(cached, ask(1, fmt.Sprint("why ", i)).Cached != "")
	}
	if !slices.Equal(cached, []bool{true, true, false}) {
		t.Errorf("kept: %v", cached)
	}
}

func TestWhatTheModelHadMoreToSayToIsNotKept(t *testing.T) {
	t.Parallel()
	c := config
	c.Memory = 1 << 20
	model := &speaker{say: []string{"So [1]"}, end: Completion{Cut: true}}
	e := New(&shelf{texts: []string{"one"}}, model, c)
	for range 2 {
		if a, err := e.Answer(t.Context(), 1, Question{Text: "why?"}, Listener{}); err != nil || a.Cached != "" || !strings.HasPrefix(a.Text, "So") {
			t.Errorf("%+v, %v", a, err)
		}
	}
}
